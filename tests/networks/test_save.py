"""Saved networks."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import autoprune
from autoprune.errors import DamagedError, UsageError
from autoprune.networks import zoo
from autoprune.networks.save import (
    _read_spec,
    rebuild,
    spec_json,
    state_tensors,
    write_tensors,
)
from autoprune.structure.cut_record import Cut
from autoprune.structure.cutting import cut


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def net(seed=0):
    torch.manual_seed(seed)
    return zoo.build("digits-resnet")


def test_whoever_may_read_the_other_files_of_a_run_may_read_the_weights(tmp_path):
    (tmp_path / "other").touch()
    write_tensors(tmp_path / "w.safetensors", net().state_dict())
    modes = {path.stat().st_mode for path in tmp_path.iterdir() if path.is_file()}
    assert len(modes) == 1


# Saving what the user holds.


def small():
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 32, 3), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 4)),
    )


def images(count=80):
    make = torch.Generator().manual_seed(0)
    return torch.randn(count, 3, 8, 8, generator=make), torch.arange(count) % 4


def move(model):
    """Train a little, as a user's own loop does."""
    for value in model.parameters():
        value.data.add_(torch.full_like(value, 0.01))
    return model


def same(one, two):
    first, second = one.state_dict(), two.state_dict()
    return first.keys() == second.keys() and all(
        torch.equal(value, second[name]) for name, value in first.items()
    )


def pruned(keep=0.5):
    model, x = small(), images(2)[0]
    structure = autoprune.analyze(model, x)
    plan = autoprune.Plan.uniform(structure, keep)
    return autoprune.prune(model, structure, plan), x


WRAPS = {
    "plain": lambda model: model,
    "copied": copy.deepcopy,
    "compiled": lambda model: torch.compile(model, backend="eager"),
    "parallel": nn.DataParallel,
    "both": lambda model: nn.DataParallel(torch.compile(model, backend="eager")),
}


@pytest.mark.parametrize("wrap", WRAPS)
def test_any_compact_network_is_saved_as_it_is_now(wrap, tmp_path):
    compact, x = pruned()
    move(compact)
    autoprune.save(WRAPS[wrap](compact), tmp_path / "net")
    again = autoprune.load(tmp_path / "net", model=small())
    assert same(again, compact) and again[0].out_channels == compact[0].out_channels == 8
    assert torch.equal(again(x), compact.eval()(x))


def test_what_was_loaded_or_cut_twice_is_saved_too(tmp_path):
    compact, x = pruned()
    autoprune.save(compact, tmp_path / "one")
    loaded = move(autoprune.load(tmp_path / "one", model=small()))
    autoprune.save(loaded, tmp_path / "two")
    assert same(autoprune.load(tmp_path / "two", model=small()), loaded)
    structure = autoprune.analyze(loaded, x)
    smaller = autoprune.prune(loaded, structure, autoprune.Plan.uniform(structure, 0.5))
    autoprune.save(smaller, tmp_path / "three")
    again = autoprune.load(tmp_path / "three", model=small())
    assert again[0].out_channels == 4 and same(again, smaller)


def test_dense_and_masked_networks_are_saved(tmp_path):
    model, x = small(), images(2)[0]
    structure = autoprune.analyze(model, x)
    masked = autoprune.mask(model, structure, autoprune.Plan.uniform(structure, 0.5))
    for name, network in (("dense", model), ("masked", masked)):
        autoprune.save(network, tmp_path / name)
        assert same(autoprune.load(tmp_path / name, model=small()), network)


def test_a_directory_that_is_taken_stays_as_it_is(tmp_path):
    compact, _ = pruned()
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "mine.txt").write_text("mine")
    for target in ("net", "net/mine.txt"):
        with pytest.raises(UsageError, match="exists"):
            autoprune.save(compact, tmp_path / target)
    assert [path.name for path in (tmp_path / "net").iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("granularity", ["channel", "2:4", "weight"])
def test_a_result_saves_the_weights_that_its_model_has_now(granularity, tmp_path):
    result = autoprune.search(
        *(small(), (images(), images())),
        "0.7params",
        agent="uniform",
        granularity=granularity,
        finetune_epochs=0,
        run=tmp_path / "run",
    )
    result.save(tmp_path / "as-it-was")
    original = (tmp_path / "run" / "model.safetensors").read_bytes()
    assert (tmp_path / "as-it-was" / "model.safetensors").read_bytes() == original
    move(result.model)
    result.save(tmp_path / "mine")
    assert same(autoprune.load(tmp_path / "mine", model=small()), result.model)
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == original


class Viewing(nn.Module):
    """A network that keeps a size of its hidden layer as an int."""

    def __init__(self, rows=4):
        super().__init__()
        self.rows, self.inner, self.out = rows, nn.Linear(5, 12), nn.Linear(12, 2)

    def forward(self, x):
        rows = self.inner(x).view(len(x), self.rows, 3)
        return self.out(rows.flatten(1))


def test_ints_of_modules_are_saved_and_only_shrink(tmp_path):
    torch.manual_seed(0)
    dense, x = Viewing(), torch.randn(3, 5)
    widths = {("", "rows"): 2}
    kept = torch.arange(6)
    indices = {("inner.weight", 0): kept, ("inner.bias", 0): kept, ("out.weight", 1): kept}
    small = copy.deepcopy(dense)
    cut(small, indices, widths)
    write_tensors(tmp_path / "w.safetensors", state_tensors(small))
    again = rebuild(Viewing(), Cut(indices, widths), tmp_path / "w.safetensors")
    assert again.rows == 2 and torch.equal(again(x), small(x))
    masked = F.pad(dense.inner(x)[:, :6], (0, 6))
    assert torch.allclose(small(x), dense.out(masked))
    for wrong in ({("", "rows"): 9}, {("", "training"): 1}, {("", "forward"): 1}):
        with pytest.raises(DamagedError, match="smaller than expected"):
            rebuild(Viewing(), Cut(indices, wrong), tmp_path / "w.safetensors")


@pytest.mark.parametrize("entry", [["", "__class__", 2], ["", "a.b", 2], ["", "rows", 0], ["rows"]])
def test_damaged_sizes_are_refused(tmp_path, entry):
    data = spec_json(None, {}, {}) | {"widths": [entry]}
    with pytest.raises(DamagedError, match="damaged width"):
        _read_spec(data, tmp_path)
