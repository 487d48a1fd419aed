"""Sparse kernels of PyTorch."""

import pytest
import torch
from torch import nn
from torch.sparse._semi_structured_conversions import (
    sparse_semi_structured_from_dense_cutlass,
    sparse_semi_structured_to_dense_cutlass,
)

from autoprune.errors import UsageError
from autoprune.problem.granularity.kernels import is_semi_structured, semi_structured
from autoprune.problem.granularity.parse import Granularity
from autoprune.problem.granularity.units import PruningUnits
from autoprune.structure.analyze import analyze


def test_the_pattern_is_the_one_that_torchs_kernels_store():
    torch.manual_seed(0)
    net = nn.Linear(64, 32)
    units = PruningUnits.of(analyze(net, torch.randn(2, 64)), Granularity.parse("2:4"))
    ranking = units.rank(net, "l2")
    weight = ranking.weights({"weight": 1})["weight"]
    assert is_semi_structured(weight)
    assert not is_semi_structured(ranking.weights({"weight": 2})["weight"])
    stored = sparse_semi_structured_from_dense_cutlass(weight.half())
    assert stored[0].numel() == weight.numel() // 2
    assert torch.equal(sparse_semi_structured_to_dense_cutlass(*stored), weight.half())


def test_a_device_without_kernels_says_so():
    net = nn.Linear(64, 32).half()
    net.weight.data[:, ::2] = 0
    with pytest.raises(UsageError, match="no kernels for 2:4 on cpu"):
        semi_structured(net)
    net.weight.data.fill_(1.0)
    assert semi_structured(net) == ()
