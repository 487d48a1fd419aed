"""Specifications of networks: built, stored, refused."""

import json
import sys
from pathlib import Path

import pytest
from torch import nn

from autoprune.data import load_data
from autoprune.errors import DamagedError, UsageError
from autoprune.networks.spec import ModelSpec, model_spec, resolve_model


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture(scope="module")
def digits():
    return load_data("digits")


@pytest.mark.parametrize(
    ("name", "kwargs"),
    [
        ("resnet20", {"classes": 10, "channels": 1}),
        ("conv-2", {"classes": 10, "channels": 1, "size": 8}),
        ("timm:resnet18", {"num_classes": 10, "in_chans": 1}),
        ("torchvision:resnet18", {"num_classes": 10}),
    ],
)
def test_data_shapes_the_network(digits, name, kwargs):
    spec = model_spec(name, digits)
    assert spec.kwargs == kwargs
    assert ModelSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


def test_zoo_networks_need_no_data_and_no_trust():
    assert model_spec("resnet20", shortcut="B").build().layer2[0].shortcut[0].weight.ndim == 4
    assert resolve_model("lenet-300-100")[1].in_features == 784


def test_users_file_is_shaped_recorded_and_rebuilt(digits, tmp_path, monkeypatch):
    file = tmp_path / "mynet.py"
    file.write_text(
        "from torch import nn\n"
        "def build(classes, depth=1): return nn.Sequential(nn.Flatten(), nn.Linear(64, classes))\n"
        "def wrong(): return 3\n"
        "def broken(): return nn.Linear(0)\n"
    )
    monkeypatch.chdir(tmp_path)
    spec = model_spec("mynet.py:build", digits)
    assert spec.factory == f"{file}:build" and spec.kwargs == {"classes": 10}
    monkeypatch.chdir("/")
    assert ModelSpec.from_json(spec.to_json()).build()[1].out_features == 10
    with pytest.raises(UsageError, match=r"wrong returns int, not an nn\.Module"):
        resolve_model(f"{file}:wrong")
    with pytest.raises(UsageError, match="broken fails: TypeError"):
        resolve_model(f"{file}:broken")


def test_a_stored_specification_runs_nothing_that_was_not_named(tmp_path):
    sentinel = tmp_path / "ran"
    file = tmp_path / "theirs.py"
    file.write_text(
        f"open({str(sentinel)!r}, 'w').close()\nfrom torch import nn\nbuild = nn.Identity"
    )
    stored = ModelSpec(f"{file}:build", {}, str(file), "0" * 64)
    commands = [
        ModelSpec("os:system", {"command": f"touch {sentinel}"}),
        ModelSpec("subprocess:call", {"args": ["touch", str(sentinel)]}),
    ]
    for spec in [stored, *commands]:
        with pytest.raises(DamagedError, match="trust_code=True"):
            spec.build()
    assert not sentinel.exists()
    assert isinstance(stored.build(trust_code=True), nn.Identity)
    assert sentinel.exists()


def test_builtins_are_refused_even_when_trusted():
    with pytest.raises(UsageError, match="not a python function"):
        ModelSpec("os:system", {"command": "true"}).build(trust_code=True)


@pytest.mark.parametrize(
    "data",
    [
        None,
        {"factory": "resnet20"},
        {"factory": 3, "kwargs": {}, "path": "", "sha256": ""},
        {"factory": "resnet20", "kwargs": [], "path": "", "sha256": ""},
    ],
)
def test_damaged_specifications(data):
    with pytest.raises(DamagedError, match="not a model specification"):
        ModelSpec.from_json(data)


def test_unknown_and_missing_networks(monkeypatch):
    with pytest.raises(UsageError, match="unknown network 'resnet21'"):
        model_spec("resnet21")
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UsageError, match=r"timm is not installed \(pip install"):
        resolve_model("timm:resnet18")
    with pytest.raises(UsageError, match="timm has no network 'hf-hub:a/b'"):
        resolve_model("timm:hf-hub:a/b")
    for option in ({"checkpoint_path": "theirs.pth"}, {"pretrained": True}, {"act": "../x"}):
        with pytest.raises(UsageError, match="it may load files"):
            ModelSpec("timm:resnet18", option).build()
    with pytest.raises(UsageError, match="resnet20 cannot be built: "):
        ModelSpec("resnet20", {"classes": "ten"}).build()


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet20,shortcut=C", "no shortcut 'C'"),
        ("resnet20,B", "'B' is no option"),
        ("vgg19,shortcut=B", "vgg19 has no option 'shortcut'"),
        ("resnet20,shortcut=B,shortcut=A", "is given 'shortcut' twice"),
        ("resnet20,shortcut=B C", "values are numbers, words, or lists"),
        ("resnet21,shortcut=B", "unknown network 'resnet21'"),
    ],
)
def test_options_that_make_no_sense(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        model_spec(name).build()


def test_options_go_where_the_data_have_their_say() -> None:
    spec = model_spec("resnet20,shortcut=B", classes=7)
    assert spec == ModelSpec("resnet20", {"classes": 7, "shortcut": "B"})
    assert ModelSpec.from_json(spec.to_json()) == spec
    assert count(spec.build()) > count(model_spec("resnet20", classes=7).build())


def test_options_of_users_and_libraries_have_types(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("nets.py").write_text(
        "from torch import nn\n"
        "def build(classes, widths, bias=True): return nn.Linear(widths[0], widths[1], bias=bias)\n"
        "def open_ended(**options): return nn.Linear(options['width'], 2)\n"
    )
    spec = model_spec("nets.py:build,widths=3/4,bias=false", classes=7)
    assert spec.kwargs == {"classes": 7, "widths": [3, 4], "bias": False}
    built = ModelSpec.from_json(json.loads(json.dumps(spec.to_json()))).build()
    assert built.weight.shape == (4, 3) and built.bias is None
    assert model_spec("nets.py:open_ended,width=5").build().in_features == 5
    with pytest.raises(UsageError, match=r"has no option 'wide' \(it has classes, widths, bias\)"):
        model_spec("nets.py:build,wide=3")
    timm = model_spec("timm:vit_tiny_patch16_224,img_size=64,drop_rate=0.5,global_pool=avg")
    assert timm.kwargs == {"img_size": 64, "drop_rate": 0.5, "global_pool": "avg"}
    assert timm.factory == "timm:vit_tiny_patch16_224"
