"""Norms over units, known by their algebra: what returns to its units, and what does not."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoprune.structure.analyze import analyze, verify


class Spelled(nn.Module):
    """Two linear layers with a function of 10 units between them."""

    def __init__(self, middle: Callable[..., Tensor]) -> None:
        super().__init__()
        self.middle = middle
        self.first, self.second = nn.Linear(6, 10), nn.Linear(10, 3)
        self.gain, self.shift = nn.Parameter(torch.ones(10)), nn.Parameter(torch.zeros(10))
        self.register_buffer("wide", torch.rand(10, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.middle(self, self.first(x)) * self.gain + self.shift)


def layer(m: Spelled, x: Tensor) -> Tensor:
    mean, variance = x.mean(-1, keepdim=True), x.var(-1, keepdim=True, unbiased=False)
    return m.gain * ((x - mean) / (variance + 1e-5).sqrt()) + m.shift


def root_mean_square(m: Spelled, x: Tensor) -> Tensor:
    scale = torch.rsqrt(x.double().square().mean(-1).unsqueeze(-1) + torch.tensor(1e-6))
    return (x * scale).type_as(x) * (1 + m.gain)


def response(m: Spelled, x: Tensor) -> Tensor:
    size = x.norm(dim=1, keepdim=True)
    return x + m.gain * (x * (size / (size.mean(-1, keepdim=True) + 1e-6)))


NORMS = {
    "layer": layer,
    "root mean square": root_mean_square,
    "response": response,
    "gain first": lambda m, x: m.gain * x.pow(2).mean(-1, keepdim=True).rsqrt() * x,
    "length": lambda m, x: F.normalize(x, dim=-1),
    "share": lambda m, x: x / x.abs().sum(-1, keepdim=True).clamp(min=0.1),
}


@pytest.mark.parametrize("name", NORMS)
def test_norms_are_groups_whose_statistics_change(name: str) -> None:
    torch.manual_seed(0)
    net, x = Spelled(NORMS[name]).eval(), torch.randn(2, 5, 6)
    structure = analyze(net, x)
    assert [group.size for group in structure.groups] == [10]
    found = verify(net, structure, x)
    assert found.ok and found.renormalized == tuple(structure.sizes)


OTHERS = {
    "gate": lambda m, x: x * x.mean(-1, keepdim=True).sigmoid(),
    "layer behind": lambda m, x: x * F.linear(x.mean(-1, keepdim=True), m.wide),
    "product behind": lambda m, x: x + x.mean(-1, keepdim=True) @ m.gain[None],
    "softmax in Python": lambda m, x: x.exp() / x.exp().sum(-1, keepdim=True),
    "softmax": lambda m, x: x.softmax(-1),
    "largest": lambda m, x: x / x.amax(-1, keepdim=True),
    "joined": lambda m, x: torch.cat([x, x.mean(-1, keepdim=True)], -1)[..., :10],
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_uses_of_a_reduction_pin_its_units(name: str) -> None:
    structure = analyze(Spelled(OTHERS[name]).eval(), torch.randn(2, 5, 6))
    assert "first" not in structure.sizes
    assert not structure.renormalized


class Other(nn.Module):
    """The mean of one layer's units scales those of another; given out, if ``shown``."""

    def __init__(self, shown: bool) -> None:
        super().__init__()
        self.shown = shown
        self.a, self.b, self.out = nn.Linear(6, 10), nn.Linear(6, 10), nn.Linear(10, 3)
        self.c = nn.Linear(10, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        a, b = self.a(x), self.b(x)
        mean = a.mean(-1, keepdim=True)
        if self.shown:
            return self.c(a / mean), self.out(b), mean
        return self.c(a), self.out(b * mean)


@pytest.mark.parametrize("shown", [False, True])
def test_statistic_for_others_pins_its_units_only(shown: bool) -> None:
    structure = analyze(Other(shown), torch.randn(2, 6))
    assert list(structure.sizes) == ["b"]
    assert any("reduced over units by mean" in item.reason for item in structure.pinned)
