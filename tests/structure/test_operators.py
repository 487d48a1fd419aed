"""Operators that change no wiring, and what stays of those that do."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoprune.errors import UsageError
from autoprune.structure.analyze import analyze, verify
from autoprune.structure.rules import RULES


class Between(nn.Module):
    """Two convolutions with a function between them; ``scale`` is one learned number."""

    def __init__(self, middle: Callable[..., Tensor]) -> None:
        super().__init__()
        self.middle = middle
        self.first, self.second = nn.Conv2d(3, 12, 3), nn.Conv2d(12, 5, 3)
        self.scale = nn.Parameter(torch.tensor(0.7))

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.middle(self.first(x), self.scale))


def low_precision(x: Tensor, scale: Tensor) -> Tensor:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return (x * scale).relu()


def block_in_block(x: Tensor, scale: Tensor) -> Tensor:
    with torch.no_grad(), torch.autocast("cpu", enabled=False):
        left, right = x.chunk(2, 1)
        return torch.cat([left * scale, right], 1).sigmoid()


PASSING = {
    "casts": lambda x, s: x.to(torch.float64).sin().float(),
    "device": lambda x, s: x.to(x.device).relu() * s.to(x.device),
    "low precision": low_precision,
    "reshaped as": lambda x, s: x.flatten(2).view_as(x).unsqueeze(0).reshape_as(x),
    "expanded as": lambda x, s: x.mean((2, 3), keepdim=True).expand_as(x) * x,
    "smaller and larger": lambda x, s: torch.maximum(torch.min(x, x * s), torch.max(-x, s)),
    "grid": lambda x, s: x + torch.meshgrid(torch.arange(6.0), torch.ones(6), indexing="xy")[0],
    "exponent": lambda x, s: x / s.abs().clamp(min=0.1).log(),
}


@pytest.mark.parametrize("name", PASSING)
def test_units_pass(name: str) -> None:
    torch.manual_seed(0)
    net, x = Between(PASSING[name]).eval(), torch.randn(2, 3, 8, 8)
    structure = analyze(net, x)
    assert [group.size for group in structure.groups] == [12]
    assert {item.reason for item in structure.pinned} == {"model output"}
    assert verify(net, structure, x).mask_error < 1e-3


def test_blocks_inside_blocks_are_entered() -> None:
    structure = analyze(Between(block_in_block), torch.randn(2, 3, 8, 8))
    assert [group.size for group in structure.groups] == [6]


class Standardized(nn.Conv2d):
    """A convolution whose filters are normalized, each on its own, step by step."""

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        weight = weight / (weight.std((1, 2, 3), keepdim=True) + 1e-5)
        return F.conv2d(x, weight, self.bias)


def test_weights_standardized_step_by_step_lose_filters_but_no_inputs() -> None:
    net = nn.Sequential(nn.Conv2d(3, 10, 3), Standardized(10, 12, 3), nn.Conv2d(12, 4, 3))
    structure = analyze(net, torch.randn(2, 3, 10, 10))
    assert [(group.name, group.size) for group in structure.groups] == [("1", 12)]
    pins = {item.name: item.reason for item in structure.pinned}
    assert "a weight" in pins["0"]


def test_error_in_a_rule_pins_what_it_touches(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise IndexError("no such place")

    monkeypatch.setitem(RULES, "sin", broken)
    net = nn.Sequential(Between(lambda x, s: x.sin()), nn.Conv2d(5, 9, 1), nn.Conv2d(9, 2, 1))
    structure = analyze(net, torch.randn(2, 3, 8, 8))
    pins = {item.name: item.reason for item in structure.pinned}
    assert pins["0.first"] == "the rule of sin fails: IndexError: no such place"
    assert "1" in structure.sizes


def odd(tensor: Tensor) -> nn.Module:
    net = nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 2))
    net[1].weight = nn.Parameter(tensor, requires_grad=False)
    return net


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("net", "words"),
    [
        (odd(torch.ones(2, 6).to_sparse()), "1.weight of the model is sparse"),
        (odd(torch.ones(2, 6).to(torch.float8_e5m2)), "1.weight of the model is float8_e5m2"),
        (odd(torch.ones(2, 6, device="meta")), "1.weight of the model has no values yet"),
        (nn.Sequential(nn.Linear(4, 6)).to("meta"), "0.weight of the model has no values yet"),
        (print, "is no network"),
    ],
)
def test_what_cannot_be_cut_is_refused_in_one_line(net: nn.Module, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        analyze(net, torch.randn(2, 4))
    assert "\n" not in str(caught.value)


def test_tiny_weights_are_analyzed() -> None:
    net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(1e-30)
    assert analyze(net, torch.randn(2, 4)).sizes == {"0": 6}
