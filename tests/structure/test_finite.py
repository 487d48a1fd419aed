"""Check of a network for NaN and infinity."""

import pytest
import torch
from torch import nn

from autoprune.errors import UsageError
from autoprune.structure.finite import first_nonfinite, require_finite


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_parameters_must_be_finite(value):
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    assert first_nonfinite(net) is None
    with torch.no_grad():
        net[1].weight[1] = value
    assert first_nonfinite(net) == "1.weight"
    with pytest.raises(UsageError, match=r"1\.weight of the model holds NaN or infinity"):
        require_finite(net)


def test_buffers_may_be_infinite_but_not_nan():
    net = nn.Linear(2, 3)
    net.register_buffer("mask", torch.tensor([0.0, -float("inf")]))
    assert first_nonfinite(net) is None
    net.mask[0] = float("nan")
    assert first_nonfinite(net) == "mask"


def test_weights_without_values_are_skipped():
    require_finite(nn.LazyLinear(3))
    require_finite(nn.Linear(2, 3, device="meta"))
