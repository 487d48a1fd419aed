"""Lasso ranking against the path on the samples."""

import torch
from sklearn.linear_model import lars_path
from torch import Tensor

from autoprune.ranking.consumers import Consumer
from autoprune.ranking.gram import Moments
from autoprune.ranking.lasso import lasso_order, unit_products


def moments_of(gram: Tensor, weights: Tensor, groups: dict[str, Tensor], bias: bool) -> Moments:
    weight = weights.T.contiguous()
    consumer = Consumer(
        "w.weight", "w.bias" if bias else None, weight, (), torch.arange(len(weights)), groups
    )
    return Moments(consumer, gram, weights)


def test_lasso_order_is_that_of_the_path_on_the_samples() -> None:
    torch.manual_seed(3)
    rows = torch.relu(torch.randn(300, 14, dtype=torch.float64) @ torch.randn(14, 14).double())
    weights = torch.randn(14, 4, dtype=torch.float64)
    index = torch.arange(14).view(7, 2)
    gram = torch.cat([rows, torch.ones(300, 1)], 1)
    moments = moments_of(gram.T @ gram / 300, weights, {"g": index}, bias=False)
    parts = torch.stack([(rows[:, unit] @ weights[unit]).ravel() for unit in index], 1)
    torch.testing.assert_close(
        unit_products(moments, "g"), parts.T @ parts / 300, rtol=1e-2, atol=1e-2
    )
    _, active, _ = lars_path(parts.numpy(), parts.sum(1).numpy(), method="lasso")
    assert lasso_order("g", [moments]).tolist()[:4] == list(active)[:4]


def test_lasso_survives_dead_and_equal_units() -> None:
    rows = torch.randn(50, 2, dtype=torch.float64)
    rows = torch.cat([rows, rows[:, :1], torch.zeros(50, 2), torch.ones(50, 1)], 1)
    weights = torch.ones(5, 3, dtype=torch.float64)
    gram = rows.T @ rows / 50
    moments = moments_of(gram, weights, {"g": torch.arange(5)[:, None]}, bias=True)
    order = lasso_order("g", [moments])
    assert sorted(order.tolist()) == [0, 1, 2, 3, 4]
    assert set(order[-2:].tolist()) == {3, 4}
