import json
import sys

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from autoprune.data import load_data
from autoprune.data.task import Classification
from autoprune.errors import DamagedError, UsageError
from autoprune.networks import zoo
from autoprune.networks.compatibility import check_compatible
from autoprune.networks.save import write_tensors
from autoprune.networks.spec import ModelSpec, model_spec, resolve_model
from autoprune.networks.weights import load_weights
from autoprune.training.loop import measure

TASK = Classification()


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture(scope="module")
def digits():
    return load_data("digits")


def net(seed=0):
    torch.manual_seed(seed)
    return zoo.build("digits-resnet")


def equal(one, two):
    return all(torch.equal(a, b) for a, b in zip(one.values(), two.values(), strict=True))


# ---- specifications


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
    with pytest.raises(UsageError, match="takes no other option"):
        ModelSpec("timm:resnet18", {"checkpoint_path": "theirs.pth"}).build()
    with pytest.raises(UsageError, match="resnet20 cannot be built: "):
        ModelSpec("resnet20", {"classes": "ten"}).build()


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


# ---- weights


@pytest.mark.parametrize("wrapper", [None, "state_dict", "model_state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_checkpoints(tmp_path, wrapper, prefix):
    source, target = net(0), net(1)
    state = {prefix + name: value for name, value in source.state_dict().items()}
    torch.save({wrapper: state, "epoch": 3} if wrapper else state, tmp_path / "w.pt")
    load_weights(target, tmp_path / "w.pt")
    assert equal(target.state_dict(), source.state_dict())


def test_safetensors_without_counters(tmp_path):
    source, target = net(0), net(1)
    state = {k: v for k, v in source.state_dict().items() if "num_batches" not in k}
    save_file(state, tmp_path / "w.safetensors")
    load_weights(target, tmp_path / "w.safetensors")
    assert equal(target.state_dict(), source.state_dict())


def test_whoever_may_read_the_other_files_of_a_run_may_read_the_weights(tmp_path):
    (tmp_path / "other").touch()
    write_tensors(tmp_path / "w.safetensors", net().state_dict())
    modes = {path.stat().st_mode for path in tmp_path.iterdir() if path.is_file()}
    assert len(modes) == 1


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(3, 3), nn.Linear(3, 3)
        self.two.weight = self.one.weight


def test_tied_weights_need_one_name_only(tmp_path):
    state = Tied().state_dict()
    del state["two.weight"]
    save_file(state, tmp_path / "w.safetensors")
    target = Tied()
    load_weights(target, tmp_path / "w.safetensors")
    assert torch.equal(target.two.weight, state["one.weight"])


def damage(state, how):
    if how == "missing":
        del state["conv1.weight"]
    elif how == "unexpected":
        state["extra"] = torch.zeros(1)
    elif how == "shape":
        state["linear.weight"] = torch.zeros(7, 32)
    elif how == "nan":
        state["layer1.0.conv2.weight"][0] = torch.nan
    return state


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("missing", "1 missing, first conv1.weight"),
        ("unexpected", "1 unexpected, first extra"),
        ("shape", r"linear.weight has shape \[7, 32\], the model's has \[10, 32\]"),
        ("nan", r"layer1.0.conv2.weight holds NaN or infinity"),
    ],
)
@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
def test_weights_that_do_not_fit_change_nothing(tmp_path, how, message, suffix):
    path = tmp_path / f"w.{suffix}"
    state = damage(net(0).state_dict(), how)
    save_file(state, path) if suffix == "safetensors" else torch.save(state, path)
    target = net(1)
    with pytest.raises(DamagedError, match=message):
        load_weights(target, path)
    assert equal(target.state_dict(), net(1).state_dict())


class Payload:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


def test_pickled_objects_are_refused(tmp_path):
    sentinel = tmp_path / "ran"
    torch.save({"state_dict": Payload(str(sentinel))}, tmp_path / "w.pt")
    with pytest.raises(DamagedError, match="objects other than tensors") as caught:
        load_weights(net(), tmp_path / "w.pt")
    assert not sentinel.exists() and "\n" not in str(caught.value)
    torch.save(net(), tmp_path / "whole.pt")
    with pytest.raises(DamagedError, match="objects other than tensors"):
        load_weights(net(), tmp_path / "whole.pt")


@pytest.mark.parametrize("content", [b"", b"garbage" * 50, b"\xff" * 16])
@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
def test_files_that_are_no_weights(tmp_path, content, suffix):
    path = tmp_path / f"w.{suffix}"
    path.write_bytes(content)
    with pytest.raises(DamagedError) as caught:
        load_weights(net(), path)
    assert "\n" not in str(caught.value)


def test_other_absences(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        load_weights(net(), tmp_path / "gone.pt")
    torch.save([torch.zeros(1)], tmp_path / "list.pt")
    with pytest.raises(DamagedError, match="does not hold tensors by name"):
        load_weights(net(), tmp_path / "list.pt")


# ---- model, data and task together


def test_a_sound_model_passes_and_stays_as_it_was(digits):
    model = net().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    check_compatible(model, digits, TASK)
    assert model.training and model.bn1.training
    assert equal(model.state_dict(), before)


class Endless(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return x.flatten(1)[:, :10] * self.weight / 0


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (zoo.build("resnet20"), r"does not accept a batch of digits of shape \[2, 1, 8, 8\]"),
        (zoo.build("digits-resnet", classes=5), "has outputs for 5 classes, but train has label 9"),
        (Endless(), "returns NaN or infinity"),
        (nn.Flatten(0), "not logits"),
    ],
    ids=["channels", "classes", "infinite", "flat"],
)
def test_mismatches_are_one_line(digits, model, message):
    with pytest.raises(UsageError, match=message) as caught:
        check_compatible(model, digits, TASK)
    assert "\n" not in str(caught.value)


def test_nan_weights_are_named(digits):
    model = net()
    with torch.no_grad():
        model.layer2[0].bn1.bias[3] = torch.nan
    with pytest.raises(UsageError, match=r"layer2\.0\.bn1\.bias of the model holds NaN"):
        check_compatible(model, digits, TASK)


def test_labels_that_are_no_classes(digits):
    x = torch.randn(40, 1, 8, 8)
    with pytest.raises(UsageError, match="labels of train are float32, not integers"):
        check_compatible(net(), load_data((x, torch.rand(40))), TASK)
    with pytest.raises(UsageError, match="train has label -1"):
        check_compatible(net(), load_data((x, torch.arange(40) % 4 - 1)), TASK)


class Total(Classification):
    def score(self, outputs, batch):
        return super().score(outputs, batch).mean()


def test_a_task_must_score_each_sample(digits):
    with pytest.raises(UsageError, match=r"scores of shape \[\] for 2 samples"):
        check_compatible(net(), digits, Total())


# ---- the checkpoints that come with the project


@pytest.mark.parametrize(("name", "accuracy"), [("resnet20", 0.8566), ("resnet56", 0.8706)])
def test_checkpoints_reach_their_accuracy(shared, cifar10_jpeg, name, accuracy):
    model = resolve_model(name, cifar10_jpeg)
    load_weights(model, shared / "checkpoints" / f"{name}.safetensors")
    some = cifar10_jpeg.validation.take(1000)
    reached = measure(model, some, TASK, precision="auto").score
    assert abs(reached - accuracy) < 3 * (accuracy * (1 - accuracy) / 1000) ** 0.5
