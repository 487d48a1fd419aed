"""Repairs: optimal, remembered, and nothing where nothing is missing."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression
from torch import Tensor, nn

from autoprune.data import Split
from autoprune.ranking.consumers import Consumer, find_consumers
from autoprune.ranking.gram import Moments, RegressionConfig, collect
from autoprune.ranking.ordering import Ranking
from autoprune.ranking.rank import rank
from autoprune.ranking.repair import Joint, Nested, damped, least_squares
from autoprune.structure import Structure
from autoprune.structure.analyze import analyze
from autoprune.structure.plan import Plan
from tests.small_nets import TASK, images, output_error, regression, spd


def columns(units: set[int], block: int) -> Tensor:
    places = [unit * block + place for unit in sorted(units) for place in range(block)]
    return torch.tensor(places, dtype=torch.int64)


@pytest.mark.parametrize("bias", [True, False])
def test_repair_agrees_with_scikit_learn(bias: bool) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 5, bias=bias), nn.Linear(5, 2))
    data = Split((torch.randn(4000, 6), torch.zeros(4000, dtype=torch.int64)))
    structure = analyze(model, torch.randn(2, 6))
    ranking = regression((model, structure), data)
    plan = Plan.of({"0": 5, "2": 5})
    kept = ranking.kept(plan)["0"]
    with torch.no_grad():
        x = model[1](model[0](data.content[0]))
        y = model[2](x)
    fit = LinearRegression(fit_intercept=bias).fit(x[:, kept].numpy(), y.numpy())
    repaired = ranking.weights(plan)
    found = repaired["2.weight"]
    assert not found[:, [unit for unit in range(12) if unit not in kept]].any()
    np.testing.assert_allclose(found[:, kept], fit.coef_, atol=0.02)
    assert ("2.bias" in repaired) == bias
    if bias:
        np.testing.assert_allclose(repaired["2.bias"], fit.intercept_, atol=0.02)


@settings(max_examples=25)
@given(st.integers(2, 6), st.integers(1, 3), st.data())
def test_nested_and_joint_solve_the_same_system(
    units: int, block: int, data: st.DataObject
) -> None:
    size = units * block + 2
    _, gram = spd(size, data.draw(st.integers(0, 99)))
    places = torch.randperm(size, generator=torch.Generator().manual_seed(0))
    index = places[: units * block].view(units, block)
    weights = torch.randn(size - 1, 3, dtype=torch.float64)
    index = index.where(index < size - 1, places[-1])
    moments = moments_of(gram, weights, {"g": index}, bias=data.draw(st.booleans()))
    orders = {"g": torch.randperm(units)}
    plan = {"g": data.draw(st.integers(1, units))}
    (one, nested), (two, joint) = Nested(moments, orders)(plan), Joint(moments, orders)(plan)
    assert one.sort().values.equal(two.sort().values)
    torch.testing.assert_close(nested[one.argsort()], joint[two.argsort()])
    regularized, extended = damped(moments)
    direct = torch.linalg.solve(regularized[one][:, one], (regularized @ extended)[one])
    torch.testing.assert_close(nested, direct)
    torch.testing.assert_close(least_squares(regularized, regularized @ extended, one), direct)


def moments_of(gram: Tensor, weights: Tensor, groups: dict[str, Tensor], bias: bool) -> Moments:
    weight = weights.T.contiguous()
    consumer = Consumer(
        "w.weight", "w.bias" if bias else None, weight, (), torch.arange(len(weights)), groups
    )
    return Moments(consumer, gram, weights)


def test_nothing_missing_changes_nothing(plain_net: tuple[nn.Module, Structure]) -> None:
    """With damping on both sides the solution for all columns is the weights as they are."""
    model, structure = plain_net
    moments = collect(model, find_consumers(model, structure), TASK, images(4), RegressionConfig())
    for item in moments:
        ((name, index),) = item.consumer.groups.items()
        columns, solved = Nested(item, {name: torch.arange(len(index))})({name: len(index)})
        inner = solved[columns.argsort()][: len(item.weights)]
        torch.testing.assert_close(inner, item.weights, rtol=1e-5, atol=1e-6)


def test_two_groups_are_refitted_together(concat_net: tuple[nn.Module, Structure]) -> None:
    """Repairing for the union of what goes must beat repairing for either group alone."""
    model, structure = concat_net
    data = images(64)
    ranking = regression(concat_net, data)
    sizes = structure.sizes
    plan = Plan.of(sizes | {"a": 3, "b": 4})
    joint = ranking.weights(plan)["c.weight"]
    gone = torch.ones(14, dtype=torch.bool)
    kept = ranking.kept(plan)
    gone[torch.cat([kept["a"], kept["b"] + 6])] = False
    assert not joint[:, gone].any() and joint[:, ~gone].any()
    apart = ranking.weights(Plan.of(sizes | {"a": 3}))["c.weight"].clone()
    apart[:, gone] = 0
    alone = Ranking("test", ranking.orders, ranking.errors, (lambda _: {"c.weight": apart},))
    assert output_error(model, ranking, plan, "c", data) < output_error(
        model, alone, plan, "c", data
    )


def test_repairs_are_remembered_within_bounds(plain_net: tuple[nn.Module, Structure]) -> None:
    ranking = regression(plain_net, images())
    plan = Plan.of({"a": 5, "b": 5})
    first = ranking.weights(plan)
    assert ranking.weights(plan)["b.weight"] is first["b.weight"]
    assert ranking.weights(Plan.of({"a": 5, "b": 4}))["b.weight"] is first["b.weight"]
    config = RegressionConfig(rows=10**9, remembered=0)
    forgetful = rank(*plain_net, "regression", task=TASK, calibration=images(), config=config)
    before = forgetful.weights(plan)["b.weight"]
    forgetful.weights(Plan.of({"a": 7, "b": 7}))
    assert forgetful.weights(plan)["b.weight"] is not before
    assert forgetful.weights(plan)["b.weight"].equal(first["b.weight"])
