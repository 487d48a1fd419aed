"""Feature matching between repair and fine-tuning: what is stored, resumed, shown and refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from autoprune.cli.main import main
from autoprune.data import load_data
from autoprune.data.classification import Classification
from autoprune.foundation.progress import Silent
from autoprune.networks import zoo
from autoprune.networks.weights import read_masks
from autoprune.pipeline.config import SearchConfig
from autoprune.pipeline.result import Result
from autoprune.pipeline.search import run_search
from autoprune.pipeline.view import result_view
from autoprune.training.loop import FitConfig, fit
from autoprune.training.pace import PaceConfig, paced
from tests.killing import Dies, Killed
from tests.showing import show

EAGER = PaceConfig(save_every=0.0, save_share=1e9, report_every=0.0)
WORDS = {"budget": "0.3flops", "agent": "uniform", "evaluations": 1, "baseline": False}
WORDS |= {"model": "digits-resnet", "weights": "trained.safetensors"}
TRAINED = ["--model", "digits-resnet", "--weights", "trained.safetensors"]
FILES = ("plan.json", "model.safetensors")


@pytest.fixture(scope="module", autouse=True)
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("matched")
    (place / "other.py").write_text(
        "import torch\n\n\n"
        "def digits():\n"
        "    x = torch.randn(50, 1, 8, 8, generator=torch.Generator().manual_seed(0))\n"
        "    return (x, torch.zeros(50, dtype=torch.long)), (x[:9], torch.zeros(9).long())\n\n\n"
        "def large():\n"
        "    x = torch.randn(50, 1, 9, 9)\n"
        "    return (x, torch.zeros(50, dtype=torch.long)), (x[:9], torch.zeros(9).long())\n"
    )
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
    config = SearchConfig(run="whole", match="30steps", finetune_epochs=1, **WORDS)
    return run_search(config, Silent())


def test_a_matched_network_is_measured_and_nearer_to_the_dense_one(whole, place):
    assert whole.matched is not None
    assert whole.matched.macs == whole.pruned.macs
    assert whole.matched.score > whole.pruned.score
    stored = json.loads((place / "whole" / "result.json").read_text())
    assert stored["matched"]["accuracy"] == whole.matched.score
    assert Result.from_json(stored) == whole
    assert "matched" in show(result_view(whole))
    assert "pruned, matched, fine-tuned weights" in stored["files"]["model.safetensors"]


def test_a_killed_matching_goes_on_to_the_same_bytes(whole, place):
    config = SearchConfig(run="killed", match="30steps", finetune_epochs=1, **WORDS)
    with paced(EAGER):
        with pytest.raises(Killed):
            run_search(config, Dies("match", 17))
        run_search(config, Silent())
    for name in FILES:
        assert (place / "killed" / name).read_bytes() == (place / "whole" / name).read_bytes()


def test_without_matching_and_fine_tuning_the_repaired_network_is_delivered(place):
    plain = run_search(SearchConfig(run="plain", finetune_epochs=0, **WORDS), Silent())
    assert plain.matched is None
    assert "matched" not in show(result_view(plain))
    both = run_search(
        SearchConfig(run="both", finetune_epochs=0, match="20steps", **WORDS), Silent()
    )
    assert both.pruned.score == plain.pruned.score
    assert both.matched is not None and both.matched.score == both.finetuned.score
    delivered = [load_file(f"{run}/model.safetensors") for run in ("plain", "both")]
    assert any(not torch.equal(value, delivered[1][name]) for name, value in delivered[0].items())


def test_minutes_become_steps_once(place):
    words = {"finetune_epochs": 0, "match": "0.002", "unlabeled": "other.py:digits", **WORDS}
    found = run_search(SearchConfig(run="timed", **words), Silent())
    steps = json.loads((place / "timed" / "match.json").read_text())["steps"]
    assert steps >= 1 and found.matched is not None
    (place / "timed" / "result.json").unlink()
    before = (place / "timed" / "model.safetensors").read_bytes()
    run_search(SearchConfig(run="timed", **words), Silent())
    assert json.loads((place / "timed" / "match.json").read_text())["steps"] == steps
    assert (place / "timed" / "model.safetensors").read_bytes() == before


def test_masked_weights_stay_masked(place):
    words = WORDS | {"budget": "0.3params"}
    config = SearchConfig(
        run="masked", granularity="weight", match="8steps", finetune_epochs=0, **words
    )
    found = run_search(config, Silent())
    masks = read_masks(Path("masked/masks.safetensors"))
    assert masks and found.model is not None
    for name, mask in masks.items():
        assert not found.model.state_dict()[name][~mask].any()


def test_rounds_are_matched(place, capsys):
    words = [*TRAINED, "--budget", "0.4flops", "--schedule", "iterative", "--steps", "2", "--json"]
    words += ["--finetune-epochs", "0", "--match", "4steps"]
    assert main(["prune", *words]) == 0
    assert json.loads(capsys.readouterr().out)["matched"]["accuracy"] > 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--match", "0"], "--match must be minutes above 0, or steps, not '0' (as in 5 or 300s"),
        (["--match", "0steps"], "--match must be minutes above 0, or steps"),
        (["--match", "soon"], "--match must be minutes above 0, or steps"),
        (["--match", "nan"], "--match must be minutes above 0, or steps"),
        (["--unlabeled", "digits"], "--unlabeled is for matching (add --match 5"),
        (["--match", "2steps", "--unlabeled", "nowhere"], "nowhere"),
        (
            ["--match", "2steps", "--unlabeled", "other.py:large"],
            "[1, 9, 9], one of digits [1, 8, 8]",
        ),
    ],
)
def test_what_makes_no_sense_is_one_line(words, said, place, capsys):
    words = [*TRAINED, "--budget", "0.5flops", "--finetune-epochs", "0", *words]
    assert main(["prune", *words]) == 2
    last = " ".join(capsys.readouterr().err.split("autoprune: error:")[-1].split())
    assert said in last
