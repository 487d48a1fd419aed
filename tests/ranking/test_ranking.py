"""Rankings of every method: complete, repeatable, with errors that name the cause."""

import numpy as np
import pytest
import torch
from torch import nn

from autoprune.errors import UsageError
from autoprune.ranking.gram import RegressionConfig
from autoprune.ranking.rank import rank
from autoprune.ranking.registry import RANKINGS, without_data
from autoprune.structure import Structure
from autoprune.structure.analyze import analyze
from autoprune.structure.plan import Plan
from tests.small_nets import TASK, images


@pytest.mark.parametrize("method", RANKINGS)
def test_every_method_orders_every_unit_once(
    concat_net: tuple[nn.Module, Structure], method: str
) -> None:
    model, structure = concat_net
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.d.train()
    ranking = rank(model, structure, method, task=TASK, calibration=images())
    assert model.d.training and not model.c.training
    model.d.eval()
    assert all(not module._forward_pre_hooks for module in model.modules())
    assert all(tensor.equal(state[name]) for name, tensor in model.state_dict().items())
    plan = Plan.uniform(structure, 0.4)
    for group in structure.groups:
        assert sorted(ranking.orders[group.name].tolist()) == list(range(group.size))
        assert ranking.errors[group.name].shape == (group.size + 1,)
        assert ranking.errors[group.name][-1] == 0
        assert (np.diff(ranking.errors[group.name]) <= 0).all()
        kept = ranking.kept(plan)[group.name]
        assert kept.tolist() == sorted(ranking.orders[group.name][: plan[group.name]].tolist())
    assert bool(ranking.weights(plan)) == (method not in without_data())
    assert ranking.weights(Plan.dense(structure)) == {}


def test_same_seed_same_ranking(concat_net: tuple[nn.Module, Structure]) -> None:
    model, structure = concat_net
    plan = Plan.uniform(structure, 0.5)
    few = RegressionConfig(rows=150)
    one, again, other = (
        rank(model, structure, "regression", task=TASK, calibration=images(), seed=seed, config=few)
        for seed in (0, 0, 1)
    )
    assert all(one.orders[name].equal(again.orders[name]) for name in one.orders)
    assert all(
        tensor.equal(again.weights(plan)[name]) for name, tensor in one.weights(plan).items()
    )
    assert (one.errors["a"] != other.errors["a"]).any()


def test_unknown_method_names_the_known() -> None:
    model = nn.Sequential(nn.Linear(2, 4), nn.Linear(4, 2))
    structure = analyze(model, torch.randn(2, 2))
    with pytest.raises(UsageError, match=r"unknown ranking 'L3'.*regression"):
        rank(model, structure, "L3")
    with pytest.raises(UsageError, match="needs calibration data"):
        rank(model, structure, "regression")


def test_broken_weights_are_named() -> None:
    model = nn.Sequential(nn.Linear(2, 4), nn.Linear(4, 2))
    structure = analyze(model, torch.randn(2, 2))
    model[1].weight.data[0, 0] = torch.nan
    with pytest.raises(UsageError, match=r"1\.weight of the model holds NaN"):
        rank(model, structure, "l1")
