"""Trained weights: loaded whole or not at all."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.utils import prune

from autoprune.data.classification import Classification
from autoprune.errors import DamagedError, UsageError
from autoprune.networks.spec import resolve_model
from autoprune.networks.weights import load_weights
from autoprune.training.loop import measure
from tests.digits_net import equal, net

TASK = Classification()


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.mark.parametrize("wrapper", [None, "state_dict", "model_state_dict", "model", "net", "ema"])
@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "module.",
        "_orig_mod.",
        "model.",
        "module._orig_mod.",
        "network.",
        "module._orig_mod.net.",
    ],
)
def test_checkpoints(tmp_path, wrapper, prefix):
    source, target = net(0), net(1)
    state = {prefix + name: value for name, value in source.state_dict().items()}
    torch.save({wrapper: state, "epoch": 3} if wrapper else state, tmp_path / "w.pt")
    load_weights(target, tmp_path / "w.pt")
    assert equal(target.state_dict(), source.state_dict())


def test_nested_wrappers_and_several_states(tmp_path):
    source, target = net(0), net(1)
    other = {"weight": torch.zeros(3)}
    saved = {"net": other, "model": {"state_dict": source.state_dict(), "epoch": 1}, "lr": 0.1}
    torch.save(saved, tmp_path / "w.pt")
    load_weights(target, tmp_path / "w.pt")
    assert equal(target.state_dict(), source.state_dict())


def test_a_prefix_that_only_the_model_has(tmp_path):
    source, target = net(0), nn.DataParallel(net(1))
    save_file(source.state_dict(), tmp_path / "w.safetensors")
    load_weights(target, tmp_path / "w.safetensors")
    assert equal(target.module.state_dict(), source.state_dict())


@pytest.mark.parametrize("prefix", ["", "module."])
def test_masks_of_torch_are_applied(tmp_path, prefix):
    source, target = net(0), net(1)
    prune.l1_unstructured(source.conv1, "weight", 0.5)
    prune.random_unstructured(source.layer1[0].conv2, "weight", 0.25)
    state = {prefix + name: value for name, value in source.state_dict().items()}
    torch.save(state, tmp_path / "w.pt")
    load_weights(target, tmp_path / "w.pt")
    for module in (source.conv1, source.layer1[0].conv2):
        prune.remove(module, "weight")
    own = source.state_dict()
    assert all(torch.equal(value, own[name]) for name, value in target.state_dict().items())


KINDS = {
    "int8": lambda value: (100 * value).to(torch.int8),
    "bool": lambda value: value > 0,
    "complex64": lambda value: value.to(torch.complex64),
    "float8_e4m3fn": lambda value: value.to(torch.float8_e4m3fn),
    "sparse": lambda value: value.to_sparse(),
    "quantized": lambda value: torch.quantize_per_tensor(value, 0.1, 0, torch.qint8),
    "no values": lambda value: value.to("meta"),
    "NaN or infinity": lambda value: value.double() * 1e300,
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_other_kinds_of_tensors_are_refused_in_a_line(tmp_path, kind):
    state = net(0).state_dict()
    state["linear.weight"] = KINDS[kind](state["linear.weight"])
    torch.save(state, tmp_path / "w.pt")
    target = net(1)
    with pytest.raises(DamagedError) as caught:
        load_weights(target, tmp_path / "w.pt")
    assert "\n" not in str(caught.value)
    assert kind in str(caught.value) or "objects other than tensors" in str(caught.value)
    assert equal(target.state_dict(), net(1).state_dict())


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_loaded(tmp_path, kind):
    source, target = net(0), net(1)
    torch.save(source.to(kind).state_dict(), tmp_path / "w.pt")
    load_weights(target, tmp_path / "w.pt")
    assert torch.equal(target.linear.weight, source.linear.weight.float())


def test_a_home_that_nobody_has_is_named():
    with pytest.raises(UsageError, match=r"home of a user"):
        load_weights(net(), "~nobody-of-that-name/w.pt")


def test_safetensors_without_counters(tmp_path):
    source, target = net(0), net(1)
    state = {k: v for k, v in source.state_dict().items() if "num_batches" not in k}
    save_file(state, tmp_path / "w.safetensors")
    load_weights(target, tmp_path / "w.safetensors")
    assert equal(target.state_dict(), source.state_dict())


def test_masks_beside_weights_are_multiplied_in(tmp_path):
    source, target = nn.Linear(4, 3), nn.Linear(4, 3)
    prune.random_unstructured(source, "weight", 0.5)
    torch.save(source.state_dict(), tmp_path / "w.pt")
    load_weights(target, tmp_path / "w.pt")
    assert torch.equal(target.weight, source.weight)
    assert (target.weight == 0).sum() == 6


@pytest.mark.parametrize("kind", [torch.int8, torch.bool, torch.complex64])
def test_numbers_of_another_kind_are_refused(tmp_path, kind):
    target = nn.Linear(4, 3)
    before = target.weight.clone()
    state = {"weight": (target.weight.detach() * 100).to(kind), "bias": target.bias.detach()}
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(DamagedError, match=r"weight is .*, the model's is float32"):
        load_weights(target, tmp_path / "w.pt")
    assert torch.equal(target.weight, before)


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


@pytest.mark.parametrize(("name", "accuracy"), [("resnet20", 0.8566), ("resnet56", 0.8706)])
def test_checkpoints_reach_their_accuracy(shared, cifar10_jpeg, name, accuracy):
    model = resolve_model(name, cifar10_jpeg)
    load_weights(model, shared / "checkpoints" / f"{name}.safetensors")
    some = cifar10_jpeg.validation.take(1000)
    reached = measure(model, some, TASK, precision="auto").score
    assert abs(reached - accuracy) < 3 * (accuracy * (1 - accuracy) / 1000) ** 0.5
