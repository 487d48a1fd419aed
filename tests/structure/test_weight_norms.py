"""Weights that are normalized before they are used: what they read may go, as behind a norm."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from autoprune.problem.prune import mask, prune
from autoprune.ranking.consumers import find_consumers
from autoprune.structure.analyze import analyze, verify
from autoprune.structure.kept_norms import KeptUnits
from autoprune.structure.plan import Plan


class Standardized(nn.Conv2d):
    """Standardizes each row of its weight, by a gain of its own."""

    def __init__(self, *args: int, **options: int) -> None:
        super().__init__(*args, **options)
        self.gain = nn.Parameter(torch.rand(self.out_channels, 1, 1, 1) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        rows = self.weight.reshape(1, self.out_channels, -1)
        gain = (self.gain * 0.3).view(-1)
        flat = F.batch_norm(rows, None, None, gain, training=True, momentum=0.0)
        return self._conv_forward(x, flat.reshape_as(self.weight), self.bias)


class TransposedBack(Standardized):
    """Brings the elements back in another order: they are other inputs' then."""

    def forward(self, x: Tensor) -> Tensor:
        rows = self.weight.reshape(1, self.out_channels, -1).flip(2)
        flat = F.batch_norm(rows, None, None, self.gain.view(-1), training=True, momentum=0.0)
        return self._conv_forward(x, flat.reshape_as(self.weight), self.bias)


def standardized(groups: int = 1, layer: type[Standardized] = Standardized) -> nn.Module:
    first, middle = layer(3, 8, 3, padding=1), layer(8, 12, 3, padding=1, groups=groups)
    last = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 4))
    return nn.Sequential(first, nn.ReLU(), middle, nn.ReLU(), *last).eval()


X = torch.randn(2, 3, 6, 6)


@pytest.mark.parametrize("groups", [1, 2])
def test_standardized_weights_lose_what_they_read_and_what_they_make(groups: int) -> None:
    torch.manual_seed(0)
    net = standardized(groups)
    structure = analyze(net, X)
    assert set(structure.sizes.values()) == {8 // groups, 12 // groups}
    assert len(structure.renormalized) == 1, "what a standardized weight reads"
    assert verify(net, structure, X).ok
    plan = Plan.uniform(structure, 0.5)
    compact, masked = prune(net, structure, plan), mask(net, structure, plan)
    assert compact.get_submodule("2").weight.shape == (6, 4 // groups, 3, 3)
    with KeptUnits() as dense:
        net(X)
    with KeptUnits(dense):
        expected = masked(X)
    torch.testing.assert_close(compact(X), expected)
    assert not torch.allclose(compact(X), masked(X), atol=1e-4), "statistics are others"


def test_standardized_weights_are_not_repaired_as_plain_ones() -> None:
    torch.manual_seed(0)
    net = standardized()
    consumers = [one.tensor for one in find_consumers(net, analyze(net, X))]
    assert consumers == ["6.weight"]


def test_a_weight_in_another_order_keeps_what_it_reads() -> None:
    torch.manual_seed(0)
    structure = analyze(standardized(layer=TransposedBack), X)
    assert set(structure.sizes.values()) <= {12}


@pytest.mark.parametrize(
    ("dim", "sizes"),
    [
        (0, {8}),  # what it makes has norms of its own, and stays
        (2, {8, 12}),
    ],
)
def test_weight_norm_pins_along_its_own_dimension_only(dim: int, sizes: set[int]) -> None:
    torch.manual_seed(0)
    middle = weight_norm(nn.Conv1d(8, 12, 3, padding=1), dim=dim)
    net = nn.Sequential(nn.Conv1d(3, 8, 1), nn.ReLU(), middle, nn.ReLU(), nn.Conv1d(12, 2, 1))
    x = torch.randn(2, 3, 9)
    structure = analyze(net.eval(), x)
    assert set(structure.sizes.values()) == sizes
    assert verify(net, structure, x).ok
    plan = Plan.uniform(structure, 0.5)
    compact, masked = prune(net, structure, plan)(x), mask(net, structure, plan)(x)
    torch.testing.assert_close(compact, masked)
    assert compact.isfinite().all()
