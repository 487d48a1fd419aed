"""A network for each of several budgets: one ranking, shared effort, resumed, shown, refused."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

import autoprune
from autoprune.cli.main import main
from autoprune.cost.budget import Budget
from autoprune.foundation.progress import Silent
from autoprune.pipeline.config import SearchConfig
from autoprune.pipeline.family import Family
from autoprune.pipeline.family_view import pruned_view
from autoprune.pipeline.search import run_search
from tests import tiny
from tests.killing import Dies, Killed
from tests.showing import show

BUDGETS = ("0.3flops", "0.5flops", "0.7flops", "0.9flops")
WORDS = {"agent": "evolution", "evaluations": 6, "finetune_epochs": 1, "align": 1, **tiny.WORDS}
FILES = ("plan.json", "model.safetensors", "evaluations.jsonl")


@pytest.fixture(scope="module", autouse=True)
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("family")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        tiny.write(place)
        yield place


@pytest.fixture(scope="module")
def whole(place):
    return run_search(SearchConfig(run="whole", budgets=",".join(BUDGETS), **WORDS), Silent())


def test_every_budget_has_its_network_on_the_budget(whole, place):
    assert [one.budget for one in whole.results] == list(reversed(BUDGETS))
    for one in whole.results:
        assert one.finetuned.macs <= float(one.budget.removesuffix("flops")) * one.dense.macs
        assert Budget.parse(one.budget) and one.finetune_epochs == 1
        network = autoprune.load(one.run, trust_code=True)
        x = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
        assert torch.equal(network(x), one.model.eval()(x))
    sizes = [one.finetuned.macs for one in whole.results]
    assert sizes == sorted(sizes, reverse=True)


def test_the_budget_in_the_middle_has_all_evaluations_and_the_rest_as_many_once_more(whole):
    spent = {one.budget: one.evaluations for one in whole.results}
    assert spent["0.7flops"] == 6 and whole.first == "0.7flops"
    assert {spent[text] for text in BUDGETS if text != "0.7flops"} == {2}
    assert whole.evaluations == 12


def test_no_network_of_the_front_is_beaten_and_every_other_one_is(whole):
    def beats(one, other):
        return (
            one.finetuned.score >= other.finetuned.score
            and one.finetuned.macs <= other.finetuned.macs
            and (one.finetuned.score, one.finetuned.macs)
            != (other.finetuned.score, other.finetuned.macs)
        )

    for one in whole.results:
        beaten = any(beats(other, one) for other in whole.results)
        assert (one in whole.front) is not beaten
    worst = replace(whole.results[0], finetuned=replace(whole.results[0].finetuned, score=0.0))
    fallen = replace(whole, results=(worst, *whole.results[1:]))
    assert worst not in fallen.front and len(fallen.front) <= len(whole.results) - 1


def test_it_is_stored_and_shown_again(whole, place, capsys):
    stored = json.loads((place / "whole" / "result.json").read_text())
    assert Family.from_json(stored) == whole
    shown = " ".join(show(pruned_view(whole)).split())
    assert "12 evaluations, 2.0 times those of 0.7flops alone" in shown
    assert main(["report", "--run", "whole"]) == 0
    assert "4 budgets" in capsys.readouterr().out
    assert main(["report", "--run", "whole/0.3flops"]) == 0
    assert "budget 0.3flops" in capsys.readouterr().out


def test_killed_in_every_part_it_ends_with_the_same_bytes(whole, place):
    config = SearchConfig(run="killed", budgets=",".join(BUDGETS), **WORDS)
    for phase, steps in (("search", 4), ("finetune", 1), ("search", 8), ("test", 5)):
        with pytest.raises(Killed):
            run_search(config, Dies(phase, steps))
    again = run_search(config, Silent())
    assert [one.plan for one in again.results] == [one.plan for one in whole.results]
    for text in BUDGETS:
        for name in FILES:
            one, other = ((place / run / text / name).read_bytes() for run in ("killed", "whole"))
            assert _records(one) == _records(other) if name.endswith("jsonl") else one == other
    assert run_search(config, Dies("rank", 1)) == again


def _records(journal):
    lines = [json.loads(line) for line in journal.splitlines()[1:]]
    return [{name: value for name, value in line.items() if name != "check"} for line in lines]


def test_a_policy_is_applied_to_every_budget(place, capsys):
    words = ["--budgets", "0.4flops,0.6params+0.9flops", "--finetune-epochs", "0", "--align", "1"]
    own = [text for name, value in tiny.WORDS.items() for text in (f"--{name}", value)]
    assert main(["apply", *words, *own, "--run", "applied", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {one["budget"] for one in found["results"]} == {"0.4flops", "0.6params,0.9flops"}
    both = next(one for one in found["results"] if "," in one["budget"])
    assert both["recovered"]["parameters"] <= 0.6 * both["base"]["parameters"]
    assert both["recovered"]["macs"] <= 0.9 * both["base"]["macs"]


@pytest.mark.parametrize("agent", ["ddpg", "ppo"])
def test_learners_may_have_no_evaluation_left_beside_what_was_suggested(agent):
    words = {**WORDS, "agent": agent, "evaluations": 2, "finetune_epochs": 0}
    found = run_search(SearchConfig(run=agent, budgets="0.4flops,0.6flops", **words), Silent())
    assert [one.evaluations for one in found.results] == [2, 2]


def test_a_family_from_python_of_a_live_network(place):
    from autoprune.foundation import user_code as factories

    model = factories.load("tiny.py:build")[0]()
    found = autoprune.family(
        model,
        "tiny.py:stripes",
        ["0.4flops", "0.8flops"],
        agent="uniform",
        evaluations=1,
        finetune_epochs=0,
        align=1,
        run="python",
        progress=False,
    )
    assert [one.budget for one in found.results] == ["0.8flops", "0.4flops"]
    assert autoprune.load("python/0.4flops", model)(torch.zeros(1, 1, 8, 8)).shape == (1, 4)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--budgets", "0.5flops", "--budget", "0.5flops"], 2, "--budget and --budgets exclude"),
        (["--budgets", "0.5flops,0.5flops"], 2, "--budgets names a budget twice"),
        (["--budgets", "0.5flops,"], 2, "cannot read the budget ''"),
        (["--budgets", "0.5flops,0.4foops"], 2, "unknown unit 'foops'"),
        (["--budgets", "0.5flops,0.0001flops"], 3, "no plan meets 0.0001flops"),
    ],
)
def test_what_makes_no_sense_is_one_line(words, code, said, place, capsys):
    own = [text for name, value in tiny.WORDS.items() for text in (f"--{name}", value)]
    assert main(["search", *words, *own, "--run", "never"]) == code
    assert said in " ".join(capsys.readouterr().err.split())
    assert not (place / "never" / "0.5flops").exists()
