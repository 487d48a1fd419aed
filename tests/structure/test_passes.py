"""What runs only in training, or on other inputs: cut along, or pinned and named."""

import pytest
import torch
from torch import Tensor, nn

from autoprune.problem.prune import mask, prune
from autoprune.structure.analyze import analyze, verify
from autoprune.structure.passes import trains_alike
from autoprune.structure.plan import Plan


class TrainingHead(nn.Module):
    """Two more heads in training: after the first layer, and on both layers joined."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.out = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 12, 3), nn.Linear(12, 4)
        self.early = nn.Sequential(nn.Conv2d(8, 6, 1), nn.BatchNorm2d(6), nn.Conv2d(6, 4, 1))
        self.both = nn.Linear(20, 4)

    def forward(self, x: Tensor) -> object:
        a = self.a(x).relu()
        b = self.b(a).relu().mean((2, 3))
        if not self.training:
            return self.out(b)
        return self.out(b), self.early(a), self.both(torch.cat([a.mean((2, 3)), b], 1))


def halved(net: nn.Module, x: Tensor) -> nn.Module:
    structure = analyze(net, x)
    return prune(net, structure, Plan.uniform(structure, 0.5))


def test_training_heads_are_cut_along() -> None:
    net, x = TrainingHead(), torch.randn(2, 3, 8, 8)
    assert not trains_alike(net, x)
    structure = analyze(net, x)
    assert structure.sizes == {"a": 8, "b": 12, "early.0": 6}
    assert not structure.unused
    assert [layer.module for layer in structure.layers] == ["a", "b", "out"]
    compact = halved(net, x)
    assert compact.both.in_features == 10
    assert [tuple(part.shape) for part in compact.train()(x)] == [(2, 4), (2, 4, 6, 6), (2, 4)]
    assert compact.eval()(x).shape == (2, 4)


class Targets(nn.Module):
    """A network that wants targets in training: only evaluation can be traced."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.loss = nn.Linear(4, 10), nn.Linear(10, 7), nn.Linear(10, 3)
        self.out = nn.Linear(7, 2)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        a = self.a(x).relu()
        if self.training:
            return self.loss(a).sub(y).square().mean()
        return self.out(self.b(a).relu())


def test_what_cannot_be_traced_stays_and_is_named() -> None:
    structure = analyze(Targets(), torch.randn(3, 4))
    assert structure.unused == ("loss.weight", "loss.bias")
    assert structure.sizes == {"b": 7}
    reasons = {item.name: item.reason for item in structure.pinned}
    assert reasons["a"] == "may meet loss.weight, which no forward pass has used"
    small = halved(Targets(), torch.randn(3, 4))
    small.train()(torch.randn(3, 4), torch.randn(3, 3))


class Tokens(nn.Module):
    """Embeds values, and puts a token in place of those that are masked, if any are."""

    def __init__(self, inner: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, inner), nn.Linear(inner, 8)
        self.token = nn.Parameter(torch.randn(1, 1, 8))

    def forward(self, x: Tensor, masked: Tensor | None = None) -> Tensor:
        values = self.second(self.first(x).relu())
        return values if masked is None else torch.where(masked[..., None], self.token, values)


class Reader(nn.Module):
    def __init__(self, inner: int) -> None:
        super().__init__()
        self.tokens, self.out = Tokens(inner), nn.Linear(8, 3)

    def forward(self, x: Tensor, masked: Tensor | None = None) -> Tensor:
        return self.out(self.tokens(x, masked).relu())


def test_a_token_goes_with_the_units_around_it() -> None:
    torch.manual_seed(0)
    net, x = Reader(6).eval(), torch.randn(2, 5, 4)
    structure = analyze(net, x)
    assert structure.sizes == {"tokens.first": 6, "tokens.second": 8}
    assert structure.unused == ()
    plan, masked = Plan.uniform(structure, 0.5), torch.rand(2, 5) < 0.4
    compact, zeroed = prune(net, structure, plan), mask(net, structure, plan)
    assert compact.tokens.token.shape == (1, 1, 4)
    torch.testing.assert_close(compact(x, masked), zeroed(x, masked))


def test_a_token_that_may_mean_two_groups_pins_both() -> None:
    structure = analyze(Reader(8).eval(), torch.randn(2, 5, 4))
    assert structure.sizes == {}
    reasons = {item.reason for item in structure.pinned}
    assert "may meet tokens.token, which no forward pass has used" in reasons


class LargeImages(nn.Module):
    """A layer for large images, one for small ones, and one that nothing runs."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.down, self.up = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, 2), nn.Conv2d(8, 8, 1)
        self.inner = nn.Sequential(nn.Conv2d(8, 5, 1), nn.Conv2d(5, 6, 1))
        self.inner.spare = nn.Linear(5, 9)
        self.out = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x).relu()
        if x.shape[-1] > 20:
            x = self.down(x)
        if x.shape[-1] < 10:
            x = self.up(x)
        return self.out(self.inner[1](self.inner[0](x)).relu().mean((2, 3)))


def test_images_of_other_sizes_are_traced() -> None:
    net, x = LargeImages(), torch.randn(2, 3, 16, 16)
    structure = analyze(net, x)
    assert structure.unused == ("inner.spare.weight", "inner.spare.bias")
    assert structure.sizes == {"a": 8, "inner.1": 6}
    compact = halved(net, x)
    for size in (8, 16, 32):
        assert compact(torch.randn(2, 3, size, size)).shape == (2, 4)


class Switched(nn.Module):
    """In training it insists on a width that no trace shows."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.out = nn.Linear(4, 10), nn.Linear(10, 6), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        a = self.a(x).relu()
        if self.training and a.shape[1] != 10:
            raise ValueError("ten features wanted")
        return self.out(self.b(a))


def test_training_is_part_of_the_proof() -> None:
    structure = analyze(Switched(), torch.randn(3, 4))
    assert structure.sizes == {"b": 6}
    reasons = {item.name: item.reason for item in structure.pinned}
    assert "in training: ten features wanted (test_passes.py" in reasons["a"]


@pytest.mark.parametrize("samples", [1, 2])
def test_norms_and_dropout_train_alike(samples: int) -> None:
    net = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(), nn.Linear(6, 2))
    assert trains_alike(net, torch.randn(samples, 4))
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    assert analyze(net.train(), torch.randn(samples, 4)).sizes == {"0": 6}
    assert net.training
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, before[name])


class Many(nn.Module):
    """Thirty layers in parallel, two of which cannot be narrower."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(4, 6) for _ in range(30))
        self.outs = nn.ModuleList(nn.Linear(6, 2) for _ in range(30))
        self.runs: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        total = x.new_zeros(len(x), 2)
        self.runs.append(1)
        for place, (layer, out) in enumerate(zip(self.layers, self.outs, strict=True)):
            h = layer(x)
            total = total + out(h.view(-1, 6) if place in (7, 21) else h)
        return total


def test_failures_are_found_by_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = []
    forward = Many.forward
    monkeypatch.setattr(Many, "forward", lambda m, x: (runs.append(1), forward(m, x))[1])
    net, x = Many().eval(), torch.randn(3, 4)
    structure = analyze(net, x)
    assert len(structure.groups) == 28
    assert {item.name for item in structure.pinned if "smaller" in item.reason} == {
        "layers.7",
        "layers.21",
    }
    assert len(runs) < 100
    assert verify(net, structure, x).ok
