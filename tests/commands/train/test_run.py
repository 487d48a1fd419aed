import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import autoprune
from autoprune.commands.export.config import ExportConfig
from autoprune.commands.export.run import run_export
from autoprune.commands.train.config import FinetuneConfig, TrainConfig
from autoprune.commands.train.fit_config import fit_config
from autoprune.commands.train.run import run_finetune, run_train
from autoprune.data import load_data
from autoprune.data.task import Classification
from autoprune.errors import DamagedError, UsageError
from autoprune.foundation.files import text_writer
from autoprune.foundation.progress import Silent
from autoprune.networks.score import measure
from autoprune.networks.weights import initial_file, load_weights
from autoprune.networks.zoo import build
from autoprune.pipeline.config import SearchConfig
from autoprune.pipeline.search import run_search
from autoprune.runs.artifacts import Artifacts
from autoprune.training.pace import PaceConfig, paced
from autoprune.training.recipes import recipe, softened

LENET = {"model": "lenet-300-100", "data": "digits", "steps": 40}


class Killed(BaseException):
    """Stands for the end of the process: nothing handles it."""


class Dies(Silent):
    """Ends the process in a phase, after so many steps."""

    def __init__(self, phase, steps):
        self._deadly, self._left, self._name = phase, steps, ""

    def phase(self, name, total):
        self._name = name
        return super().phase(name, total)

    def advance(self, steps=1, **facts):
        if self._name == self._deadly:
            self._left -= steps
            if self._left <= 0:
                raise Killed


@pytest.fixture(scope="module")
def dense(tmp_path_factory):
    """A trained LeNet-300-100: its run and its result."""
    home = tmp_path_factory.mktemp("train") / "dense"
    return home, run_train(TrainConfig(run=str(home), **LENET), Silent())


@pytest.fixture(scope="module")
def searched(dense, tmp_path_factory):
    """A search on the weights of that run."""
    home = tmp_path_factory.mktemp("search") / "run"
    settings = {"agent": "uniform", "evaluations": 1, "finetune_epochs": 1, "baseline": False}
    config = SearchConfig(
        budget="0.5params", model="lenet-300-100", weights=str(dense[0]), run=str(home), **settings
    )
    return home, run_search(config, Silent())


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


def test_finetune_trains_a_compact_network_taught_by_the_dense_one(searched, tmp_path):
    home, before = searched
    untouched = {path.name: path.read_bytes() for path in home.iterdir()}
    config = FinetuneConfig(run=str(home), steps=20, run_dir=str(tmp_path / "fine"))
    result = run_finetune(config, Silent())
    assert result.before == before.finetuned.score
    assert result.macs == before.finetuned.macs
    assert {path.name: path.read_bytes() for path in home.iterdir()} == untouched
    other = FinetuneConfig(run=str(home), steps=20, distill=0, run_dir=str(tmp_path / "alone"))
    run_finetune(other, Silent())
    name = "model.safetensors"
    assert (tmp_path / "fine" / name).read_bytes() != (tmp_path / "alone" / name).read_bytes()
    for file in ("plan.json", "masks.safetensors", "base.safetensors"):
        assert (tmp_path / "fine" / file).read_bytes() == (home / file).read_bytes()
    again = FinetuneConfig(run=str(tmp_path / "fine"), steps=2, run_dir=str(tmp_path / "twice"))
    assert run_finetune(again, Silent()).before == result.accuracy
    exported = run_export(ExportConfig(run=str(tmp_path / "twice"), to="pt2"), Silent())
    assert exported.difference < 1e-4


@pytest.mark.parametrize("granularity", ["weight", "2:4"])
def test_finetune_keeps_weights_that_a_mask_removed_at_zero(dense, tmp_path, granularity):
    home = tmp_path / "masked"
    settings = {"agent": "uniform", "evaluations": 1, "finetune_epochs": 0, "baseline": False}
    search = SearchConfig(
        budget="0.7params", model="lenet-300-100", weights=str(dense[0]), run=str(home),
        granularity=granularity, ranking="l1", **settings,
    )  # fmt: skip
    pruned = run_search(search, Silent())
    config = FinetuneConfig(run=str(home), steps=5, run_dir=str(tmp_path / "fine"))
    result = run_finetune(config, Silent())
    assert result.before == pruned.finetuned.score
    assert result.parameters == pruned.finetuned.parameters < dense[1].parameters
    assert result.macs == pruned.finetuned.macs < dense[1].macs
    before = autoprune.load(home).state_dict()
    after = autoprune.load(tmp_path / "fine").state_dict()
    assert sum(int((value == 0).sum()) for value in before.values()) > 10_000
    for name, value in before.items():
        assert torch.equal(value == 0, after[name] == 0), "what was removed, and only that, is zero"
    assert not torch.equal(before["fc1.weight"], after["fc1.weight"])


def test_runs_of_strangers_are_read_with_care(dense, tmp_path):
    for number, damage in enumerate(
        ({"config": {"data": ["digits"]}}, {"config": None}, {"config": {"seed": "x"}}, [1])
    ):
        home = tmp_path / str(number)
        Artifacts(dense[0]).copy(home)
        Artifacts(home).publish("config.json", text_writer(json.dumps(damage)))
        with pytest.raises(DamagedError):
            run_finetune(FinetuneConfig(run=str(home), run_dir=str(tmp_path / "x")), Silent())
    home = tmp_path / "masks"
    Artifacts(dense[0]).copy(home)
    Artifacts(home).publish("masks.safetensors", text_writer("nonsense"))
    with pytest.raises(DamagedError, match="is not a safetensors file"):
        run_finetune(FinetuneConfig(run=str(home), run_dir=str(tmp_path / "x")), Silent())


def test_finetune_of_own_weights(dense, tmp_path):
    config = FinetuneConfig(
        model="lenet-300-100", weights=str(dense[0]), steps=2, run_dir=str(tmp_path / "fine")
    )
    assert run_finetune(config, Silent()).before == dense[1].accuracy


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "finetune needs a network"),
        ({"run": "a", "weights": "b"}, "finetune needs a network"),
        ({"run": "a", "epochs": 0}, "--epochs must be at least 1"),
        ({"run": "a", "epochs": 1, "steps": 1}, "--epochs and --steps are both lengths"),
        ({"run": "a", "distill": 1.5}, "--distill must lie in"),
        ({"weights": "w", "data": "pictures"}, "needs a --model"),
    ],
)
def test_requests_that_make_no_sense(settings, message):
    with pytest.raises(UsageError, match=message):
        FinetuneConfig(**settings)


def test_a_directory_that_is_no_run(tmp_path):
    with pytest.raises(UsageError, match="holds no network"):
        run_finetune(FinetuneConfig(run=str(tmp_path), run_dir=str(tmp_path / "x")), Silent())


def test_recipes_follow_what_a_network_is_made_of():
    normed, plain = build("resnet20"), build("lenet-300-100")
    assert recipe(normed, 50_000).optimizer == "sgd"
    assert recipe(plain, 50_000).optimizer == "adamw"
    assert recipe(build("ocrnet"), 50_000).optimizer == "adamw"
    assert recipe(normed, 1_000).batch_size < recipe(normed, 50_000).batch_size
    asked = fit_config(TrainConfig(epochs=3, learning_rate=0.5, seed=7), normed, 50_000)
    assert (asked.epochs, asked.learning_rate, asked.seed, asked.optimizer) == (3, 0.5, 7, "sgd")
    turned = fit_config(TrainConfig(optimizer="adamw"), normed, 50_000)
    assert turned.learning_rate < 0.01, "a rate of SGD would wreck AdamW"
    gentle = fit_config(FinetuneConfig(run="x"), normed, 50_000)
    assert gentle == softened(normed, 50_000), "finetune does what a search does at its end"
    assert gentle.learning_rate < recipe(normed, 50_000).learning_rate and gentle.distill > 0


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
