"""Networks of other libraries."""

import sys

import pytest

from autoprune.data import load_data
from autoprune.errors import UsageError
from autoprune.networks.spec import resolve_model


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture(scope="module")
def digits():
    return load_data("digits")


def test_a_library_that_does_not_match_torch(tmp_path, monkeypatch):
    (tmp_path / "torchvision.py").write_text("raise RuntimeError('operator nms\\nis missing')")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    with pytest.raises(UsageError, match=r"torchvision does not work .*operator nms") as caught:
        resolve_model("torchvision:resnet18")
    assert "\n" not in str(caught.value)


def test_a_library_builds_what_the_data_asks_for(digits, tmp_path, monkeypatch):
    """The call only: no release of timm may match the torch that is installed here."""
    (tmp_path / "timm.py").write_text(
        "from torch import nn\n"
        "def create_model(name, *, num_classes, in_chans): return nn.Linear(in_chans, num_classes)"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "timm", raising=False)
    model = resolve_model("timm:resnet18", digits)
    monkeypatch.delitem(sys.modules, "timm")
    assert (model.in_features, model.out_features) == (1, 10)


def test_torchvision_is_told_to_download_nothing(tmp_path, monkeypatch):
    """The call only: a backbone's weights are downloaded unless they are refused."""
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text("from torchvision import models")
    (tmp_path / "torchvision" / "models.py").write_text(
        "from torch import nn\n"
        "def plain(*, weights='downloaded', width=2):\n"
        "    assert weights is None\n"
        "    return nn.Linear(width, 2)\n"
        "def backed(*, weights='downloaded', weights_backbone='downloaded', width=2):\n"
        "    assert weights is None and weights_backbone is None\n"
        "    return nn.Linear(width, 3)\n"
        "def get_model_builder(name): return globals()[name]\n"
        "def get_model(name, **options): return get_model_builder(name)(**options)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("torchvision", "torchvision.models"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    assert resolve_model("torchvision:plain").out_features == 2
    assert resolve_model("torchvision:backed,width=7").in_features == 7
    with pytest.raises(UsageError, match="torchvision cannot build 'missing': KeyError"):
        resolve_model("torchvision:missing")
    for name in ("torchvision", "torchvision.models"):
        monkeypatch.delitem(sys.modules, name)
