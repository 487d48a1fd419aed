import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import autoprune
from autoprune.commands.train.config import TrainConfig
from autoprune.commands.train.page import training_figure
from autoprune.commands.train.run import run_train
from autoprune.data import load_data
from autoprune.data.classification import Classification
from autoprune.errors import UsageError
from autoprune.foundation.progress import Silent
from autoprune.networks.score import measure
from autoprune.networks.weights import initial_file, load_weights
from autoprune.networks.zoo import build
from autoprune.runs.artifacts import Artifacts
from autoprune.training.pace import PaceConfig, paced
from tests.browser import assert_readable, fetched, look
from tests.killing import Dies, Killed
from tests.showing import assert_explains_itself
from tests.trainings import LENET


def test_training_learns_and_says_what_it_came_to(dense):
    home, result = dense
    assert result.accuracy > 0.85 and result.before is None
    # digits are 8x8: 64 x 300 + 300 x 100 + 100 x 10 products, and as many weights with 410 biases
    assert (result.macs, result.parameters) == (50_200, 50_610)
    assert (result.steps, result.epochs, result.seed) == (40, 3, 0)
    data = load_data("digits")
    model = autoprune.load(home)
    assert measure(model, data.test, Classification()).score == result.accuracy
    assert measure(model, data.validation, Classification()).score == result.validation
    fresh = build("lenet-300-100", channels=1, size=8)
    load_weights(fresh, home / "initial.safetensors")
    assert measure(fresh, data.test, Classification()).score < 0.4
    assert not list(home.glob("*.checkpoint.*")), "nothing of use is left of the training"
    assert json.loads((home / "result.json").read_text())["accuracy"] == result.accuracy


def test_a_killed_training_ends_byte_for_byte_like_one_that_was_not(dense, tmp_path):
    eager = PaceConfig(save_every=0.0, save_share=1e9, report_every=0.0)
    config = TrainConfig(run=str(tmp_path / "killed"), **LENET)
    for steps in (3, 21, 40):
        with pytest.raises(Killed), paced(eager):
            run_train(config, Dies("train", steps))
        assert (tmp_path / "killed" / "initial.safetensors").exists()
    result = run_train(config, Silent())
    home, whole = dense
    for name in ("model.safetensors", "initial.safetensors", "evaluations.jsonl", "training.svg"):
        assert (tmp_path / "killed" / name).read_bytes() == (home / name).read_bytes(), name
    assert replace(result, run=whole.run, seconds=whole.seconds) == whole


def test_a_finished_training_is_shown_again_and_a_damaged_one_mended(dense, tmp_path):
    home, result = dense
    assert run_train(TrainConfig(run=str(home), **LENET), Dies("train", 1)) == result
    copied = tmp_path / "copy"
    Artifacts(home).copy(copied)
    (copied / "evaluations.jsonl").write_bytes((home / "evaluations.jsonl").read_bytes())
    content = (copied / "model.safetensors").read_bytes()
    (copied / "model.safetensors").write_bytes(content[:-1] + b"?")
    run_train(TrainConfig(run=str(copied), **LENET), Silent())
    assert (copied / "model.safetensors").read_bytes() == content


def test_another_seed_draws_other_weights(dense, tmp_path):
    other = run_train(TrainConfig(run=str(tmp_path / "other"), seed=1, **LENET), Silent())
    names = ("initial.safetensors", "model.safetensors")
    assert other.seed == 1
    for name in names:
        assert (other.run / name).read_bytes() != (dense[0] / name).read_bytes()


def test_weights_of_a_run_go_on_where_they_are(dense, tmp_path):
    config = TrainConfig(run=str(tmp_path / "on"), weights=str(dense[0]), **LENET | {"steps": 1})
    result = run_train(config, Silent())
    assert result.before == dense[1].accuracy
    begun = load_file(result.run / "initial.safetensors")
    trained = load_file(dense[0] / "model.safetensors")
    assert all(torch.equal(begun[name], trained[name]) for name in trained)


def test_a_search_takes_a_training_and_a_ticket_finds_its_initial_weights(dense, searched):
    home, result = searched
    assert result.dense.score == dense[1].accuracy
    for name, source in (("initial", "initial"), ("base", "model")):
        kept, given = (load_file(path) for path in (
            home / f"{name}.safetensors", dense[0] / f"{source}.safetensors"
        ))  # fmt: skip
        assert all(torch.equal(kept[key], given[key]) for key in given)
    assert initial_file(home) == home / "initial.safetensors"


def test_an_unfinished_training_has_no_weights_yet(tmp_path):
    home = tmp_path / "half"
    with pytest.raises(Killed):
        run_train(TrainConfig(run=str(home), **LENET), Dies("train", 1))
    with pytest.raises(UsageError, match="holds no trained weights"):
        load_weights(build("lenet-300-100", channels=1, size=8), home)


def test_a_network_of_the_users_own_trains_by_name(tmp_path):
    source = tmp_path / "mynet.py"
    source.write_text(
        "import torch\n"
        "def build(classes):\n"
        "    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 32),\n"
        "        torch.nn.ReLU(), torch.nn.Linear(32, classes))\n"
    )
    config = TrainConfig(model=f"{source}:build", run=str(tmp_path / "run"), epochs=5)
    assert run_train(config, Silent()).accuracy > 0.8
    assert isinstance(autoprune.load(tmp_path / "run"), nn.Sequential)


def test_the_page_of_a_training_shows_what_the_json_says(dense, tmp_path):
    home, result = dense
    text = (home / "report.html").read_text()
    seen = look(text, tmp_path)
    assert_readable(seen)
    assert fetched(text) == []
    for page in seen.values():
        assert page["values"]["accuracy"] == f"{100 * result.accuracy:.2f} %"
        assert page["values"]["validation"] == f"{100 * result.validation:.2f} %"
        assert [chart["name"] for chart in page["charts"]] == ["Loss", "Score"]
        assert page["charts"][0]["key"] == ["training", "validation"]
    records = [{"epoch": n, "loss": 1, "validation_loss": 2, "validation": 0.5} for n in (1, 2)]
    assert_explains_itself(training_figure(records, "accuracy"))
