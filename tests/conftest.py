import os
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Directory with the real data sets and checkpoints; tests that need it skip without."""
    beside = Path(__file__).resolve().parents[2] / "shared"
    path = Path(os.environ.get("AUTOPRUNE_SHARED", beside))
    if not path.is_dir():
        pytest.skip("no real data: set AUTOPRUNE_SHARED to a directory with data/ and checkpoints/")
    return path


@pytest.fixture(autouse=True)
def _homes(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the user's own caches and trust store out of the tests."""
    home = tmp_path_factory.getbasetemp() / "home"
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "state"))
