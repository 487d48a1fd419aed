"""The smallest network that loses no more than so many points: found, sure, resumed, refused."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

import autoprune
from autoprune.cli.main import main
from autoprune.data import load_data
from autoprune.data.classification import Classification
from autoprune.foundation.progress import Silent
from autoprune.networks import zoo
from autoprune.pipeline.config import SearchConfig
from autoprune.pipeline.result import Result
from autoprune.pipeline.search import run_search
from autoprune.pipeline.smallest import RESOLUTION
from autoprune.pipeline.view import result_view
from autoprune.training.loop import FitConfig, fit
from tests.killing import Dies, Killed
from tests.showing import show

TRAINED = {"model": "digits-resnet", "weights": "trained.safetensors"}
WORDS = {"agent": "dp", "evaluations": 6, "finetune_epochs": 0, "baseline": False, **TRAINED}
FILES = ("plan.json", "model.safetensors", "masks.safetensors")


@pytest.fixture(scope="module", autouse=True)
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("smallest")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        torch.manual_seed(0)
        model = zoo.build("digits-resnet")
        config = FitConfig(epochs=3, batch_size=64)
        fit(model, load_data("digits").train, Classification(), config)
        save_file(model.state_dict(), "trained.safetensors")
        yield place


@pytest.fixture(scope="module")
def whole(place):
    return run_search(SearchConfig(run="whole", max_drop=5.0, **WORDS), Silent())


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


def test_what_is_lost_is_counted_sample_by_sample_on_validation(whole, place):
    validation = load_data("digits")
    dense = zoo.build("digits-resnet")
    dense.load_state_dict(load_file("trained.safetensors"))
    images, labels = next(validation.validation.batches(len(validation.validation)))
    with torch.no_grad():
        right = [net.eval()(images).argmax(1) == labels for net in (dense, whole.model)]
    lost = 100 * (right[0].double() - right[1].double())
    (chosen,) = [probe for probe in whole.drop.probes if probe.budget == whole.budget]
    assert chosen.points == pytest.approx(float(lost.mean()))
    assert chosen.margin == pytest.approx(1.96 * float(lost.std()) / len(lost) ** 0.5, rel=1e-3)


def test_it_is_stored_shown_and_loaded(whole, place):
    stored = json.loads((place / "whole" / "result.json").read_text())
    assert Result.from_json(stored) == whole
    shown = " ".join(show(result_view(whole)).split())
    assert "smallest by flops" in shown and "at most 5 points" in shown
    loaded = autoprune.load("whole").state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in whole.model.state_dict().items())


def test_killed_again_and_again_it_ends_with_the_same_bytes(whole, place):
    config = SearchConfig(run="killed", max_drop=5.0, **WORDS)
    for steps in (3, 9):
        with pytest.raises(Killed):
            run_search(config, Dies("search", steps))
    again = run_search(config, Silent())
    assert again.drop == whole.drop and again.evaluations == whole.evaluations
    for name in FILES:
        assert (place / "killed" / name).read_bytes() == (place / "whole" / name).read_bytes()
    for probe in whole.drop.probes:
        one, other = (
            place / run / probe.budget / "evaluations.jsonl" for run in ("killed", "whole")
        )
        assert one.read_bytes().partition(b"\n")[2].count(b"plan") == other.read_bytes().count(
            b"plan"
        )


def test_later_budgets_begin_with_what_the_first_found_and_spend_as_much_together(whole, place):
    spent = [
        (place / "whole" / probe.budget / "evaluations.jsonl").read_text().count('"plan"')
        for probe in whole.drop.probes
    ]
    assert spent[0] == 6 and set(spent[1:]) == {1}
    assert whole.evaluations == sum(spent)


def test_parameters_are_minimized_from_python_by_an_own_function():
    data = load_data("digits")
    model = zoo.build("digits-resnet")
    model.load_state_dict(load_file("trained.safetensors"))
    images, labels = next(data.validation.batches(100))

    @torch.no_grad()
    def evaluate(network):
        outputs = network(images)
        score = (outputs.argmax(1) == labels).float().mean()
        return torch.nn.functional.cross_entropy(outputs, labels), score

    found = autoprune.search(
        model,
        "digits",
        max_drop=100 - 1e-9,  # nothing is too much: the smallest that there is
        minimize="params",
        agent="uniform",
        evaluations=1,
        finetune_epochs=0,
        evaluate=evaluate,
        run="own",
        progress=False,
    )
    assert all(probe.held and probe.margin is None for probe in found.drop.probes)
    assert found.drop.unit == "params"
    assert found.finetuned.parameters < 0.1 * found.dense.parameters


def test_no_network_that_is_good_enough_is_one_line(place, capsys):
    text = "import torch\n\n\ndef evaluate(network):\n    return 0.0, 0.0\n"
    (place / "bad.py").write_text(text)
    size = zoo.build("digits-resnet").state_dict()
    total = sum(value.numel() for value in size.values())

    def evaluate(network):
        held = sum(value.numel() for value in network.state_dict().values())
        return 1.0, float(held == total)

    with pytest.raises(autoprune.errors.InfeasibleError) as refused:
        autoprune.search(
            "digits-resnet",
            "digits",
            max_drop=1,
            agent="uniform",
            evaluations=1,
            finetune_epochs=0,
            evaluate=evaluate,
            run="never",
            progress=False,
        )
    assert "loses 100.00 points on validation, more than --max-drop 1" in str(refused.value)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "search needs --budget or --max-drop (as in --budget 0.5flops)"),
        (["--max-drop", "1", "--budget", "0.5flops"], "--budget and --max-drop exclude each other"),
        (["--max-drop", "-1"], "--max-drop must be points from 0 to below 100, not -1"),
        (["--max-drop", "100"], "--max-drop must be points from 0 to below 100, not 100"),
        (["--budget", "0.5flops", "--minimize", "params"], "--minimize is for --max-drop"),
    ],
)
def test_what_makes_no_sense_is_one_line(words, said, capsys):
    assert main(["search", *words]) == 2
    assert said in " ".join(capsys.readouterr().err.split())
