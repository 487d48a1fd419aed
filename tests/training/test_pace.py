"""Pace of a training inside a run."""

from autoprune.runs.artifacts import Artifacts
from autoprune.training.checkpoint import FileCheckpoint
from autoprune.training.pace import PaceConfig, current_pace, paced


def test_a_pace_holds_inside_its_block_and_reaches_checkpoints(tmp_path):
    eager = PaceConfig(save_every=0.0)
    with paced(eager):
        assert current_pace() == eager
        assert FileCheckpoint(Artifacts(tmp_path), "part").due
        with paced(PaceConfig(save_every=60.0)):
            assert not FileCheckpoint(Artifacts(tmp_path), "part").due
        assert current_pace() == eager
    assert current_pace() == PaceConfig()
    assert not FileCheckpoint(Artifacts(tmp_path), "part").due
