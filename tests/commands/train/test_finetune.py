import json

import pytest
import torch

import autoprune
from autoprune.commands.export.config import ExportConfig
from autoprune.commands.export.run import run_export
from autoprune.commands.train.config import FinetuneConfig
from autoprune.commands.train.run import run_finetune
from autoprune.errors import DamagedError, UsageError
from autoprune.foundation.files import text_writer
from autoprune.foundation.progress import Silent
from autoprune.pipeline.config import SearchConfig
from autoprune.pipeline.search import run_search
from autoprune.runs.artifacts import Artifacts


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


def test_a_directory_that_is_no_run(tmp_path):
    with pytest.raises(UsageError, match="holds no network"):
        run_finetune(FinetuneConfig(run=str(tmp_path), run_dir=str(tmp_path / "x")), Silent())
