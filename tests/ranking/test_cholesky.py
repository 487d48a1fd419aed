"""Cholesky factors of matrices that rounding spoils."""

import pytest
import torch
from torch import nn

import autoprune
from autoprune.data import Split
from autoprune.data.classification import Classification
from autoprune.ranking.cholesky import cholesky
from autoprune.ranking.rank import rank


def gram(rows):
    return rows.T @ rows / len(rows)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_sound_matrix_has_torchs_own_factor_to_the_bit(dtype):
    rows = torch.randn(50, 8, generator=torch.Generator().manual_seed(0)).to(dtype)
    assert torch.equal(cholesky(gram(rows)), torch.linalg.cholesky(gram(rows)))


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e-22, 1.0])
def test_a_spoiled_matrix_has_a_factor_near_it(scale):
    rows = scale * torch.randn(4, 8, generator=torch.Generator().manual_seed(0))
    rows = torch.cat([rows, torch.ones(4, 1)], 1)  # rank 4 of 9, and the column of ones
    matrix = gram(rows)
    factor = cholesky(matrix)
    assert bool(factor.isfinite().all())
    assert torch.allclose(factor @ factor.T, matrix, atol=1e-4 * float(matrix.diagonal().max()))


def test_a_matrix_with_nan_is_refused_as_by_torch():
    with pytest.raises(RuntimeError):
        cholesky(torch.full((3, 3), float("nan")))


@pytest.mark.parametrize("scale", [1e-30, 1e-20, 1e12])
@pytest.mark.parametrize("method", ["regression", "lasso"])
def test_networks_with_tiny_and_huge_weights_are_ranked(scale, method):
    torch.manual_seed(0)
    model = nn.Sequential(
        *(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 32, 3), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 4)),
    ).eval()
    with torch.no_grad():
        model[0].weight.mul_(scale)
        model[0].bias.mul_(scale)
    x = torch.randn(60, 3, 8, 8)
    structure = autoprune.analyze(model, x[:2])
    split = Split((x, torch.arange(60) % 4))
    ranking = rank(model, structure, method, task=Classification(), calibration=split)
    plan = autoprune.Plan.uniform(structure, 0.5)
    compact = autoprune.prune(model, structure, plan, ranking)
    assert bool(compact(x).isfinite().all())
    for group, order in ranking.orders.items():
        assert sorted(order.tolist()) == list(range(structure.sizes[group]))
