import json
import shutil
from dataclasses import replace
from math import isclose
from pathlib import Path

import pytest

from autoprune.cli.main import main
from autoprune.commands.compare.config import CompareConfig
from autoprune.commands.compare.page import comparison_page
from autoprune.commands.compare.plots import budgets_figure, search_figure
from autoprune.commands.compare.result import Comparison, Trial
from autoprune.commands.compare.run import run_compare
from autoprune.errors import DamagedError, UsageError
from autoprune.foundation.progress import Silent
from autoprune.runs.artifacts import STATE
from autoprune.runs.journal import read_journal
from autoprune.runs.run import Run
from autoprune.structure.plan import Plan
from tests.browser import assert_readable, fetched, look
from tests.showing import assert_explains_itself

AGENTS = ("uniform", "random", "dp")


def configured(run, **changes):
    return CompareConfig(
        **{
            "budget": "0.5flops",
            "budgets": ("0.8flops",),
            "agents": AGENTS,
            "evaluations": 3,
            "seeds": 2,
            "finetune_epochs": 1,
            "run": str(run),
            **changes,
        }
    )


class Killed(BaseException):
    """Stands for the end of the process."""


class Dies(Silent):
    """Ends the process after so many fine-tunings have begun."""

    def __init__(self, left):
        self.left = left

    def phase(self, name, total):
        self.left -= name.startswith("finetune")
        if self.left < 0:
            raise Killed
        return super().phase(name, total)


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """The embedded example, compared once in one go."""
    run = tmp_path_factory.mktemp("compared") / "run"
    return run, run_compare(configured(run), Silent())


def test_every_agent_spends_the_same_and_the_json_says_what_was_asked(compared):
    run, found = compared
    data = found.to_json()
    assert data["budget"] == "0.5flops" and data["evaluations"] == 3
    assert 0.9 < data["base"]["test_accuracy"] <= 1
    assert tuple(data["agents"]) == AGENTS
    for name, facts in data["agents"].items():
        for measure in ("search_score", "test_accuracy", "recovered_accuracy", "seconds"):
            assert len(facts[measure]) == 2
        assert [len(scores) for scores in facts["scores"]] == [1 if name == "uniform" else 3] * 2
        assert facts["search_score"] == [max(scores) for scores in facts["scores"]]
    assert data["agents"] == data["budgets"]["0.5flops"]["agents"]
    assert isclose(data["budgets"]["0.8flops"]["fraction"], 0.8, abs_tol=0.01)
    assert Comparison.from_json(json.loads(json.dumps(data))) == found
    assert json.loads((run / "result.json").read_text()) == json.loads(json.dumps(data))
    assert all((run / name).stat().st_size > 10_000 for name in ("search.png", "budgets.png"))


def test_pictures_explain_themselves_and_show_intervals(compared):
    found = compared[1]
    for figure in (search_figure(found), budgets_figure(found)):
        assert_explains_itself(figure)
    search, scores = search_figure(found).axes
    assert [line.get_drawstyle() for line in search.lines] == ["steps-post"] * len(AGENTS)
    assert {"pruned", "fine-tuned", "dense"} == set(scores.get_legend_handles_labels()[1])
    assert search_figure(replace(found, finetune_epochs=0)).axes[1].containers[1:] == []


def test_the_page_shows_the_means_of_the_json_at_every_width(compared, tmp_path):
    run, found = compared
    text = (run / "report.html").read_text()
    seen = look(text, tmp_path)
    assert_readable(seen)
    assert fetched(text) == []
    for page in seen.values():
        values = dict(page["values"])
        assert values.pop("base") == f"{100 * found.base:.2f} %"
        assert len(values) == 2 * len(AGENTS) * 3
        for key, written in values.items():
            mean, margin = found.estimate(*key.split("/"))
            assert written == f"{100 * mean:.2f} % ± {100 * margin:.2f}"
        assert len(page["charts"]) == 5
        assert all(set(AGENTS) <= set(chart["key"]) for chart in page["charts"])


def test_one_seed_promises_no_intervals(compared):
    run, found = compared
    alone = {
        budget: {agent: trials[:1] for agent, trials in agents.items()}
        for budget, agents in found.trials.items()
    }
    page = comparison_page(replace(found, trials=alone), run, configured(run, seeds=1))
    assert "3 evaluations each, 1 seed<" in page and "no intervals" in page
    assert "±" not in page and 'class="error' not in page and 'class="band' not in page


def test_agents_of_a_seed_share_what_they_evaluate_and_seeds_differ(compared):
    run, _ = compared
    by_agent = {
        (agent, seed): read_journal(run / f"0.5flops-{agent}-{seed}.jsonl")
        for agent in AGENTS
        for seed in (0, 1)
    }
    for seed in (0, 1):
        (uniform,) = by_agent["uniform", seed]
        same = [r for r in by_agent["random", seed] if r["plan"] == uniform["plan"]]
        assert [(r["score"], r["loss"]) for r in same] == [(uniform["score"], uniform["loss"])]
    assert by_agent["random", 0] != by_agent["random", 1]


def test_a_comparison_that_was_killed_ends_like_one_that_was_not(compared, tmp_path):
    whole, found = compared
    run = tmp_path / "killed"
    for left in (1, 4):
        with pytest.raises(Killed):
            run_compare(configured(run), Dies(left))
    again = run_compare(configured(run), Silent())
    for budget, agents in found.trials.items():
        for agent, trials in agents.items():
            for one, other in zip(trials, again.trials[budget][agent], strict=True):
                assert replace(one, seconds=0) == replace(other, seconds=0)
    for path in whole.glob("*.jsonl"):
        assert path.read_bytes() == (run / path.name).read_bytes()


def test_damage_to_any_journal_of_a_finished_comparison_is_noticed(compared, tmp_path):
    run = Path(shutil.copytree(compared[0], tmp_path / "copy"))
    journals = sorted(path.name for path in run.glob("0.*.jsonl"))
    assert len(journals) == 2 * 3 * 2
    for number, name in enumerate(journals):
        lines = (run / name).read_text().splitlines(keepends=True)
        change = lines[:-1] if number % 2 else [lines[0].replace("format", "form")]
        (run / name).write_text("".join(change))
    with Run(run, configured(run)) as opened:
        assert opened.finished and sorted(opened.damaged) == journals


def test_states_that_a_kill_at_the_very_end_left_are_removed(compared, tmp_path):
    run = Path(shutil.copytree(compared[0], tmp_path / "copy"))
    names = {path.name for path in run.iterdir()}
    (run / f"finetune-0.5flops-0{STATE}").write_bytes(b"state")
    run_compare(configured(run), Silent())
    assert {path.name for path in run.iterdir()} == names


def test_a_finished_comparison_is_shown_again(compared, capsys):
    run, found = compared
    arguments = ["--budget", "0.5flops", "--budgets", "0.8flops", "--agents", *AGENTS]
    numbers = ["--evaluations", "3", "--seeds", "2", "--finetune-epochs", "1", "--run", str(run)]
    assert main(["compare", *arguments, *numbers]) == 0
    out = capsys.readouterr().out
    assert all(agent in out for agent in AGENTS) and "search.png" in out and "+-" in out
    assert main(["compare", "--json", *arguments, *numbers]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(found.to_json()))


def test_intervals_are_students():
    plan = Plan.of({"a": 1})
    trials = tuple(Trial(plan, (s,), (1.0,), s, s, 1.0) for s in (0.80, 0.82, 0.84))
    found = Comparison("b", 1, "n", "d", "accuracy", 0, 0.9, {"b": 0.5}, {"b": {"x": trials}})
    mean, margin = found.estimate("b", "x", "test_accuracy")
    assert isclose(mean, 0.82) and isclose(margin, 4.303 * 0.02 / 3**0.5, rel_tol=1e-3)


def test_threads_are_chosen_as_by_a_search_and_recorded(compared):
    run, _ = compared
    meta = json.loads((run / "config.json").read_text())
    assert meta["environment"]["threads"] == 1  # the embedded network is small


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"agents": ("uniform", "uniform")}, "named twice"),
        ({"agents": ()}, "names none"),
        ({"budgets": ("0.5flops",)}, "named twice"),
        ({"seeds": 0}, "--seeds must be at least 1"),
        ({"agents": ("dqn",)}, "unknown agent 'dqn'"),
        ({"budgets": ("half",)}, "cannot read the budget"),
    ],
)
def test_requests_that_make_no_sense_are_refused_at_once(changes, message, tmp_path):
    with pytest.raises(UsageError, match=message):
        run_compare(configured(tmp_path / "run", **changes), Silent())
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("data", [None, [], {"format": 2}, {"format": 1}, {"format": 1, "a": 3}])
def test_damaged_comparisons_are_refused(data):
    with pytest.raises(DamagedError):
        Comparison.from_json(data)
