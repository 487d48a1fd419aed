"""Sensitivities, by gradients of single samples, and where there are no gradients."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from autoprune.data import Split
from autoprune.data.classification import Classification
from autoprune.ranking.consumers import Consumer, find_consumers
from autoprune.ranking.rank import rank
from autoprune.ranking.sensitivity import SensitivityConfig, sensitivities
from autoprune.structure.analyze import analyze
from autoprune.structure.plan import Plan

TASK = Classification()


class Net(nn.Module):
    """Convolutions and linear layers; the second one's outputs are overwritten in place."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(2, 6, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(6)
        self.b = nn.Conv2d(6, 5, 3, padding=1)
        self.head = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.a(x)))
        x = F.relu(self.b(x), inplace=True)
        return self.head(x.mean((2, 3)))


@pytest.fixture
def net() -> nn.Module:
    torch.manual_seed(0)
    return Net().eval()


def images(count: int = 20) -> Split:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(count, 2, 5, 5, generator=generator)
    return Split((x, torch.randint(0, 3, (count,), generator=generator)))


def posed(model: nn.Module, data: Split) -> tuple[list[Consumer], dict[str, Tensor]]:
    """Consumers of a network, and their weights where half of the inputs are gone."""
    structure = analyze(model, data.content[0][:2])
    ranking = rank(model, structure, "regression", task=TASK, calibration=data)
    repaired = ranking.weights(Plan.uniform(structure, 0.5))
    return find_consumers(model, structure), repaired


def by_hand(net: nn.Module, repaired: dict[str, Tensor], data: Split, path: str) -> float:
    """Half the mean square of every sample's slope along all others' errors, over their size."""
    module, (x, labels) = net.get_submodule(path), data.content
    inputs: list[Tensor] = []
    handle = module.register_forward_pre_hook(lambda _, args: inputs.append(args[0].detach()))
    with torch.no_grad():
        net(x)
    handle.remove()
    other = copy.deepcopy(module)
    with torch.no_grad():
        before = module(inputs[0]).movedim(1, -1)
        other.weight.copy_(repaired[f"{path}.weight"])
        error = other(inputs[0]).movedim(1, -1) - before
    error = error - error.reshape(-1, error.shape[-1]).mean(0)
    spread = before - before.reshape(-1, before.shape[-1]).mean(0)
    rises = []
    for own in range(len(x)):
        shift = torch.zeros_like(before[own], requires_grad=True)
        handle = module.register_forward_hook(lambda _, __, out, s=shift: out + s.movedim(-1, 0))
        F.cross_entropy(net(x[own : own + 1]), labels[own : own + 1]).backward()
        handle.remove()
        assert shift.grad is not None
        others = [each for at, each in enumerate(error) if at != own]
        rises += [float((shift.grad * each).sum() ** 2) / 2 for each in others]
    return sum(rises) / len(rises) / float(error.square().sum() / spread.square().sum())


@pytest.mark.parametrize("path", ["b", "head"])
def test_it_is_half_the_square_of_slope_times_error_over_the_errors_size(
    net: nn.Module, path: str
) -> None:
    data = images()
    consumers, repaired = posed(net, data)
    found = sensitivities(net, consumers, repaired, TASK, data)
    assert found[f"{path}.weight"] == pytest.approx(by_hand(net, repaired, data, path), rel=1e-3)


def test_an_error_of_the_predicted_kind_raises_the_loss_by_about_as_much() -> None:
    """Where labels are the network's own predictions, the loss rises by the divergence of both."""
    torch.manual_seed(0)
    net, data = Net().eval(), images(SensitivityConfig().samples)
    with torch.no_grad():
        net.head.weight.mul_(10)
        before = net(data.content[0]).log_softmax(1)
    labels = torch.multinomial(before.exp(), 1)[:, 0]
    data = Split((data.content[0], labels))
    consumers, repaired = posed(net, data)
    found = sensitivities(net, consumers, repaired, TASK, data)["b.weight"]
    rises = []
    with torch.no_grad():
        inputs = F.relu(net.norm(net.a(data.content[0])))
        full = net.b(inputs)
        error = F.conv2d(inputs, repaired["b.weight"] - net.b.weight, padding=1)
        error -= error.mean((0, 2, 3), keepdim=True)
        spread = full - full.mean((0, 2, 3), keepdim=True)
        for shift in range(1, 30):
            pruned = F.relu(full + 0.5 * error.roll(shift, 0)).mean((2, 3))
            after = net.head(pruned).log_softmax(1)
            rises.append(float((before.exp() * (before - after)).sum(1).mean()))
    size = 0.25 * float(error.square().sum() / spread.square().sum())
    assert sum(rises) / len(rises) == pytest.approx(size * found, rel=0.3)


def test_it_does_not_depend_on_the_scale_of_what_a_layer_delivers(net: nn.Module) -> None:
    data = images()
    consumers, repaired = posed(net, data)
    before = sensitivities(net, consumers, repaired, TASK, data)
    with torch.no_grad():
        net.b.weight.mul_(4)
        assert net.b.bias is not None
        net.b.bias.mul_(4)
        net.head.weight.div_(4)
    after = sensitivities(net, *posed(net, data), TASK, data)
    assert after == pytest.approx(before, rel=2e-2)


def test_larger_batches_say_alike_and_the_model_is_left_as_it_was(net: nn.Module) -> None:
    data = images(SensitivityConfig().samples)
    consumers, repaired = posed(net, data)
    net.requires_grad_(False)
    net.train()
    state = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    whole = sensitivities(net, consumers, repaired, TASK, data)
    large = SensitivityConfig(batch=len(data))
    found = sensitivities(net, consumers, repaired, TASK, data, config=large)
    assert found == pytest.approx(whole, rel=0.2)
    tight = SensitivityConfig(batch=len(data), pass_bytes=1)
    found = sensitivities(net, consumers, repaired, TASK, data, config=tight)
    assert found.keys() == whole.keys()
    assert net.training and not any(module._forward_hooks for module in net.modules())
    assert all(tensor.equal(state[name]) for name, tensor in net.state_dict().items())
    assert all(parameter.grad is None for parameter in net.parameters())


class Hard(Classification):
    """Counts mistakes, which has no gradient."""

    def loss(self, outputs: Tensor, batch: tuple[Tensor, Tensor]) -> Tensor:
        return 1 - self.score(outputs, batch).mean()


class Detached(Classification):
    """Fails where gradients are asked for."""

    def loss(self, outputs: Tensor, batch: tuple[Tensor, Tensor]) -> Tensor:
        return torch.tensor(float(outputs.numpy().mean()))


@pytest.mark.parametrize("task", [Hard(), Detached()])
def test_without_gradients_all_errors_count_alike(net: nn.Module, task: Classification) -> None:
    consumers, repaired = posed(net, images())
    found = sensitivities(net, consumers, repaired, task, images())
    assert found == {"b.weight": 1.0, "head.weight": 1.0}


class Reader(nn.Module):
    """A recurrent network over steps first, and a head that reads its outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(4, 6)
        self.lstm = nn.LSTM(6, 5)
        self.head = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.lstm(F.relu(self.embed(x.transpose(0, 1))))
        return self.head(states).mean(0)


def test_samples_may_come_second_and_layers_be_recurrent() -> None:
    torch.manual_seed(0)
    net = Reader().eval()
    data = Split((torch.randn(24, 7, 4), torch.randint(0, 3, (24,))))
    structure = analyze(net, data.content[0][:2])
    consumers = find_consumers(net, structure)
    found = sensitivities(net, consumers, {}, TASK, data)
    assert set(found) == {item.tensor for item in consumers} and "lstm.weight_ih_l0" in found
    assert all(value > 0 for value in found.values())


def test_a_layer_the_loss_does_not_hear_of_counts_like_the_median(net: nn.Module) -> None:
    consumers, repaired = posed(net, images())
    silent = {"b.weight": 0.0 * repaired["b.weight"]}
    found = sensitivities(net, consumers, silent, TASK, images())
    assert all(value > 0 for value in found.values())


class Watched(nn.Module):
    """A network that notes whether cuDNN may be used, with or without a recurrent layer."""

    def __init__(self, recurrent: bool) -> None:
        super().__init__()
        self.first, self.seen = nn.Linear(4, 8), set[bool]()
        self.middle = nn.GRU(8, 6, batch_first=True) if recurrent else nn.Linear(8, 6)
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            self.seen.add(torch.backends.cudnn.enabled)
        x = self.middle(self.first(x))
        return self.head((x[0] if isinstance(x, tuple) else x).mean(1))


@pytest.mark.parametrize("recurrent", [True, False])
def test_cudnn_is_given_up_for_recurrent_layers_only(recurrent: bool) -> None:
    net, x = Watched(recurrent).eval(), torch.randn(6, 5, 4)
    structure = analyze(net, x[:2])
    net.seen.clear()
    consumers = find_consumers(net, structure)
    sensitivities(net, consumers, {}, TASK, Split((x, torch.arange(6) % 3)))
    assert net.seen == {not recurrent}
