"""The smallest network that loses no more than so many points: found, sure, resumed, refused."""

from __future__ import annotations

import json

import pytest
import torch

import autoprune
from autoprune.cli.main import main
from autoprune.data import load_data
from autoprune.foundation.progress import Silent
from autoprune.pipeline.config import SearchConfig
from autoprune.pipeline.result import Result
from autoprune.pipeline.search import run_search
from autoprune.pipeline.smallest import RESOLUTION
from autoprune.pipeline.view import result_view
from tests import tiny
from tests.killing import Dies, Killed
from tests.showing import show

WORDS = {
    "agent": "evolution",
    "evaluations": 6,
    "finetune_epochs": 0,
    "baseline": False,
    "align": 1,
}
WORDS |= {"max_drop": 5.0, **tiny.WORDS}
FILES = ("plan.json", "model.safetensors", "masks.safetensors")


@pytest.fixture(scope="module", autouse=True)
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("smallest")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        tiny.write(place)
        yield place


@pytest.fixture(scope="module")
def whole(place):
    return run_search(SearchConfig(run="whole", **WORDS), Silent())


def dense_network():
    from safetensors.torch import load_file

    from autoprune.foundation import user_code as factories

    model = factories.load("tiny.py:build")[0]()
    model.load_state_dict(load_file("tiny.safetensors"))
    return model.eval()


def evaluations(run):
    return (run / "evaluations.jsonl").read_text().count('"plan"')


def test_the_smallest_budget_that_held_is_delivered(whole):
    held = [probe for probe in whole.drop.probes if probe.held]
    missed = [probe for probe in whole.drop.probes if not probe.held]
    assert held and missed
    assert all(probe.points <= 5 for probe in held)
    assert all(probe.points > 5 and probe.margin > 0 for probe in missed)
    best = min(held, key=lambda probe: probe.cost)
    assert whole.budget == best.budget
    assert whole.finetuned.macs / whole.dense.macs == pytest.approx(best.cost)
    largest_missed = max(float(probe.budget.removesuffix("flops")) for probe in missed)
    assert best.cost - largest_missed <= RESOLUTION


def test_what_is_lost_is_counted_sample_by_sample_on_validation(whole):
    validation = load_data("tiny.py:stripes").validation
    images, labels = next(validation.batches(len(validation)))
    with torch.no_grad():
        right = [net.eval()(images).argmax(1) == labels for net in (dense_network(), whole.model)]
    lost = 100 * (right[0].double() - right[1].double())
    (chosen,) = [probe for probe in whole.drop.probes if probe.budget == whole.budget]
    assert chosen.points == pytest.approx(float(lost.mean()))
    assert len(lost) == 20
    quantile = 2.0930  # of Student's t, 19 degrees of freedom
    assert chosen.margin == pytest.approx(quantile * float(lost.std()) / 20**0.5, rel=1e-4)


def test_it_is_stored_shown_and_loaded(whole, place):
    stored = json.loads((place / "whole" / "result.json").read_text())
    assert Result.from_json(stored) == whole
    shown = " ".join(show(result_view(whole)).split())
    assert "smallest by flops" in shown and "at most 5 points" in shown
    loaded = autoprune.load("whole", dense_network()).state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in whole.model.state_dict().items())


def test_killed_again_and_again_it_ends_with_the_same_bytes(whole, place):
    config = SearchConfig(run="killed", **WORDS)
    for steps in (3, 8):
        with pytest.raises(Killed):
            run_search(config, Dies("search", steps))
    again = run_search(config, Silent())
    assert again.drop == whole.drop and again.evaluations == whole.evaluations
    for name in FILES:
        assert (place / "killed" / name).read_bytes() == (place / "whole" / name).read_bytes()
    for probe in whole.drop.probes:
        runs = (place / name / probe.budget for name in ("killed", "whole"))
        assert len({evaluations(run) for run in runs}) == 1
    shown = run_search(config, Dies("search", 1))  # finished: nothing is searched
    assert shown == again


def test_later_budgets_share_as_many_evaluations_as_the_first_has_alone(whole, place):
    spent = [evaluations(place / "whole" / probe.budget) for probe in whole.drop.probes]
    assert spent[0] == 6 and set(spent[1:]) == {1}
    assert whole.evaluations == sum(spent)


@pytest.mark.parametrize("unit", ["params", "latency"])
def test_other_costs_are_minimized_from_python_by_an_own_function(unit):
    images, labels = next(load_data("tiny.py:stripes").validation.batches(100))

    @torch.no_grad()
    def evaluate(network):
        outputs = network(images)
        score = (outputs.argmax(1) == labels).float().mean()
        return torch.nn.functional.cross_entropy(outputs, labels), score

    found = autoprune.search(
        dense_network(),
        "tiny.py:stripes",
        max_drop=99.9,  # nothing is too much: the smallest that there is
        minimize=unit,
        agent="uniform",
        evaluations=1,
        finetune_epochs=0,
        align=1,
        evaluate=evaluate,
        run=f"own-{unit}",
        progress=False,
    )
    assert all(probe.held and probe.margin is None for probe in found.drop.probes)
    assert found.drop.unit == unit and found.budget.endswith(unit)
    assert found.finetuned.parameters < (0.1 if unit == "params" else 1) * found.dense.parameters


def test_no_network_that_is_good_enough_is_one_line():
    whole = sum(value.numel() for value in dense_network().state_dict().values())

    def evaluate(network):  # whatever is smaller is no good
        held = sum(value.numel() for value in network.state_dict().values())
        return 1.0, float(held == whole)

    options = {"agent": "uniform", "evaluations": 1, "finetune_epochs": 0, "align": 1}
    with pytest.raises(autoprune.errors.InfeasibleError) as refused:
        autoprune.search(
            dense_network(),
            "tiny.py:stripes",
            max_drop=1,
            evaluate=evaluate,
            run="never",
            progress=False,
            **options,
        )
    assert "loses 100.00 points on validation, more than --max-drop 1" in str(refused.value)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "search needs --budget, --budgets or --max-drop (as in --budget 0.5flops)"),
        (["--max-drop", "1", "--budget", "0.5flops"], "--budget and --max-drop exclude each other"),
        (["--max-drop", "-1"], "--max-drop must be points from 0 to below 100, not -1"),
        (["--max-drop", "100"], "--max-drop must be points from 0 to below 100, not 100"),
        (["--budget", "0.5flops", "--minimize", "params"], "--minimize is for --max-drop"),
    ],
)
def test_what_makes_no_sense_is_one_line(words, said, capsys):
    assert main(["search", *words]) == 2
    assert said in " ".join(capsys.readouterr().err.split())
