"""Floors: what --keep and --only leave, and budgets above them."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from autoprune.cost.budget import Budget
from autoprune.cost.model import CostModel
from autoprune.errors import InfeasibleError, UsageError
from autoprune.networks import zoo
from autoprune.problem.floors import floors
from autoprune.problem.granularity.parse import Granularity
from autoprune.problem.granularity.units import PruningUnits
from autoprune.problem.heuristics import GLOBAL, NAMES, heuristic_plan
from autoprune.structure.analyze import analyze
from tests.synthetic import chain

NET = analyze(zoo.build("digits-resnet").eval(), torch.randn(2, 1, 8, 8))


def test_whole_layers_fractions_and_the_largest_counts():
    least = floors(NET, ["conv1", "layer2.*=0.3", "layer2.0.conv1=0.5"])
    assert least == {
        "conv1": 16,
        "layer1.0.conv1": 1,
        "layer1.1.conv1": 1,
        "layer2.0.conv1": 16,
        "layer2.0.conv2": 10,
        "layer2.1.conv1": 10,
    }


def test_only_leaves_everything_else_whole():
    least = floors(NET, ["layer1.0=0.5"], ["layer1.0.conv1", "layer1.1.conv1"])
    pruned = {name: n for name, n in least.items() if n < NET.sizes[name]}
    assert pruned == {"layer1.0.conv1": 8, "layer1.1.conv1": 1}


def test_layers_of_single_weights_have_names_too():
    units = PruningUnits.of(NET, Granularity.parse("weight")).decisions
    least = floors(units, ["layer1", "linear=0.5"])
    whole = [name for name, count in least.items() if count == units.sizes[name]]
    assert whole == ["layer1.0.conv1", "layer1.0.conv2", "layer1.1.conv1", "layer1.1.conv2"]
    assert least["linear"] == -(-units.sizes["linear"] // 2)


def test_nothing_left_to_prune_is_refused():
    with pytest.raises(UsageError, match="nothing is left to prune"):
        floors(NET, ["*"])
    with pytest.raises(UsageError, match="nothing is left to prune"):
        floors(NET, only=["linear"])


def test_a_floor_that_the_budget_cannot_meet_is_one_line():
    cost = CostModel(NET)
    with pytest.raises(InfeasibleError, match="with what --keep and --only leave, this network"):
        Budget.parse("0.5flops").bind(cost, floor=floors(NET, ["*.conv1", "conv1=0.9"]))


@given(
    sizes=st.lists(st.integers(2, 40), min_size=2, max_size=6),
    shares=st.lists(st.floats(0.01, 1), min_size=6, max_size=6),
    fraction=st.floats(0.05, 1),
    align=st.sampled_from([1, 4]),
    seed=st.integers(0, 1000),
)
def test_every_walk_and_every_rule_stays_above_the_floor(sizes, shares, fraction, align, seed):
    cost = CostModel(chain(sizes))
    names = [group.name for group in cost.structure.groups]
    floor = {
        name: max(1, int(share * size))
        for name, size, share in zip(names, sizes, shares, strict=False)
    }
    try:
        budget = Budget.parse(f"{fraction:.4f}flops").bind(cost, align, floor)
    except InfeasibleError:
        return
    least = [floor[name] for name in names]
    generator = np.random.default_rng(seed)
    walk: list[int] = []
    for group in range(len(sizes)):
        low, high = budget.interval(walk)
        assert least[group] <= low <= high
        walk.append(budget.round_count(group, generator.uniform(low, high), low, high))
    rules = [heuristic_plan(name, budget) for name in NAMES if name != GLOBAL]
    for plan in (cost.plan(np.array(walk, np.int64)), *rules):
        assert budget.met(plan)
        assert all(plan[name] >= floor[name] for name in names)
        budget.check(plan)
    assert all(budget.top_up(plan) == plan for plan in rules)  # no step is left
