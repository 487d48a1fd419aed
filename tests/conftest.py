import os
import signal
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings

from autoprune.data import Data, load_data

torch.set_num_threads(1)

# What takes long on a busy machine is not wrong.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")

# A shell that starts us in the background has us ignore Ctrl-C, and so would all that we start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Directory with the real data sets and checkpoints; tests that need it skip without."""
    beside = Path(__file__).resolve().parents[2] / "shared"
    path = Path(os.environ.get("AUTOPRUNE_SHARED", beside))
    if not path.is_dir():
        pytest.skip("no real data: set AUTOPRUNE_SHARED to a directory with data/ and checkpoints/")
    return path


@pytest.fixture(scope="session")
def cifar10_jpeg(shared: Path, request: pytest.FixtureRequest) -> Data:
    """CIFAR-10-JPEG, decoded once and kept between test runs."""
    if find_spec("datasets") is None:
        pytest.skip("no package datasets: pip install 'autoprune[data]'")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(request.config.cache.mkdir("data")))
        return load_data(shared / "data" / "cifar10_jpeg")


@pytest.fixture(autouse=True)
def _homes(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the user's own caches and trust store out of the tests."""
    home = tmp_path_factory.getbasetemp() / "home"
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "state"))
