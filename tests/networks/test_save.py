"""Saved networks."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from autoprune.errors import DamagedError
from autoprune.networks import zoo
from autoprune.networks.save import (
    _read_spec,
    rebuild,
    spec_json,
    state_tensors,
    write_tensors,
)
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
    again = rebuild(Viewing(), indices, widths, tmp_path / "w.safetensors")
    assert again.rows == 2 and torch.equal(again(x), small(x))
    masked = F.pad(dense.inner(x)[:, :6], (0, 6))
    assert torch.allclose(small(x), dense.out(masked))
    for wrong in ({("", "rows"): 9}, {("", "training"): 1}, {("", "forward"): 1}):
        with pytest.raises(DamagedError, match="smaller than expected"):
            rebuild(Viewing(), indices, wrong, tmp_path / "w.safetensors")


@pytest.mark.parametrize("entry", [["", "__class__", 2], ["", "a.b", 2], ["", "rows", 0], ["rows"]])
def test_damaged_sizes_are_refused(tmp_path, entry):
    data = spec_json(None, {}, {}) | {"widths": [entry]}
    with pytest.raises(DamagedError, match="damaged width"):
        _read_spec(data, tmp_path)
