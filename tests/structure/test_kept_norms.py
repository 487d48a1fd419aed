"""Norms of a masked network that count kept units: equal to those of the compact one."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from autoprune.structure.kept_norms import KeptUnits

KEPT = [0, 1, 4, 5]
"""Of 8 units; with two groups, the same places of each."""

NORMS: dict[str, Callable[[Tensor], Tensor]] = {
    "layer": lambda x: F.layer_norm(x, x.shape[1:]),
    "rms": lambda x: F.rms_norm(x, x.shape[1:], eps=0.1),
    "group": lambda x: F.group_norm(x, 2),
    "mean": lambda x: x * x.mean(1, keepdim=True),
    "last mean": lambda x: x * x.square().mean(-1)[:, None],
    "var": lambda x: x / x.var(1, keepdim=True),
    "biased var": lambda x: x / x.var(dim=1, keepdim=True, unbiased=False),
    "std": lambda x: x / x.std(-1, keepdim=True, correction=0),
}


@pytest.mark.parametrize("name", NORMS)
def test_units_that_are_gone_do_not_count(name: str) -> None:
    torch.manual_seed(0)
    x, norm = torch.randn(3, 8), NORMS[name]
    masked = torch.zeros_like(x)
    masked[:, KEPT] = x[:, KEPT]
    with KeptUnits() as dense:
        assert torch.allclose(norm(x), NORMS[name](x))
    with KeptUnits(dense):
        found = norm(masked)
    assert torch.allclose(found[:, KEPT], norm(x[:, KEPT]), atol=1e-6)


@pytest.mark.parametrize("name", NORMS)
def test_units_that_are_zero_in_the_dense_network_count(name: str) -> None:
    torch.manual_seed(0)
    x = torch.randn(3, 8)
    x[:, 1] = 0
    with KeptUnits() as dense:
        expected = NORMS[name](x)
    with KeptUnits(dense):
        assert torch.allclose(NORMS[name](x), expected, equal_nan=True)


def test_means_over_several_dimensions_are_left_alone() -> None:
    x = torch.randn(2, 3, 4, 4)
    masked = x.clone()
    masked[:, :, 2] = 0
    with KeptUnits() as dense:
        x.mean((2, 3))
    with KeptUnits(dense):
        assert torch.equal(masked.mean((2, 3)), masked.mean((2, 3)))
        assert torch.allclose(masked.mean((2, 3)), masked.sum((2, 3)) / 16)


def test_units_that_are_gone_but_not_zero_do_not_count() -> None:
    """What works across positions adds its bias to every unit, also to those that are gone."""
    torch.manual_seed(0)
    x, weight = torch.randn(3, 8), torch.rand(8) + 0.5
    gone = torch.ones(8)
    gone[KEPT] = 0
    with KeptUnits() as dense:
        F.layer_norm(x, (8,), weight)
    with KeptUnits(dense):
        found = F.layer_norm(x, (8,), weight * (1 - gone))
    expected = F.layer_norm(x[:, KEPT], (4,), weight[KEPT])
    assert torch.allclose(found[:, KEPT], expected, atol=1e-6)
