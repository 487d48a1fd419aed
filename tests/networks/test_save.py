"""Saved networks."""

import pytest
import torch

from autoprune.networks import zoo
from autoprune.networks.save import write_tensors


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
