"""Magnitude rankings: orders by weights alone."""

import numpy as np
import pytest
import torch
from torch import nn

from autoprune.ranking.rank import rank
from autoprune.structure import Structure
from autoprune.structure.analyze import analyze


@pytest.mark.parametrize(("method", "power"), [("l1", 1), ("l2", 2)])
def test_norms_of_the_producer_decide(
    plain_net: tuple[nn.Module, Structure], method: str, power: int
) -> None:
    model, structure = plain_net
    orders = rank(model, structure, method).orders
    expected = model.a.weight.detach().flatten(1).norm(power, dim=1).argsort(descending=True)
    assert orders["a"].tolist() == expected.tolist()


@pytest.mark.parametrize(("method", "power"), [("l1", 1), ("l2", 2)])
def test_neurons_go_by_the_norm_of_their_rows(method: str, power: int) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 5), nn.ReLU(), nn.Linear(5, 2))
    ranking = rank(model, analyze(model, torch.randn(2, 6)), method)
    for name in ("0", "2"):
        rows = model[int(name)].weight.detach().norm(power, dim=1)
        assert ranking.orders[name].tolist() == rows.argsort(descending=True).tolist()
        assert ranking.errors[name][1] == pytest.approx(1 - float(rows.max() / rows.sum()))


def test_producers_of_one_group_weigh_the_same(concat_net: tuple[nn.Module, Structure]) -> None:
    model, structure = concat_net
    orders = rank(model, structure, "l1").orders["c"]
    with torch.no_grad():
        model.e.weight *= 1000
        scaled = rank(model, structure, "l1").orders["c"]
        model.e.weight /= 1000
    assert scaled.tolist() == orders.tolist()
    norms = [m.weight.detach().abs().sum((1, 2, 3)) for m in (model.c, model.e)]
    expected = sum(norm / norm.mean() for norm in norms).argsort(descending=True)
    assert orders.tolist() == expected.tolist()


def test_scales_of_norms_decide_where_there_are_any(
    plain_net: tuple[nn.Module, Structure],
) -> None:
    model, structure = plain_net
    with torch.no_grad():
        model.bn.weight.copy_(torch.linspace(-3, 2, 12))
    ranking = rank(model, structure, "bn-scale")
    expected = torch.linspace(-3, 2, 12).abs().argsort(descending=True)
    assert ranking.orders["a"].tolist() == expected.tolist()
    assert ranking.orders["b"].equal(rank(model, structure, "l1").orders["b"])
    with torch.no_grad():
        model.bn.weight.fill_(1)


def test_random_is_seeded(plain_net: tuple[nn.Module, Structure]) -> None:
    one, again, other = (rank(*plain_net, "random", seed=seed) for seed in (0, 0, 1))
    assert all(one.orders[name].equal(again.orders[name]) for name in one.orders)
    assert any(not one.orders[name].equal(other.orders[name]) for name in one.orders)
    assert one.errors["a"] == pytest.approx(np.linspace(1, 0, 13))
