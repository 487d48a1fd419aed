"""Costs of masked networks: dense totals, and budgets met exactly."""

import numpy as np
import pytest

from autoprune.cost.budget import Budget
from autoprune.errors import InfeasibleError
from autoprune.problem.granularity.parse import Granularity
from autoprune.problem.granularity.units import PruningUnits
from autoprune.structure.plan import Plan
from tests.problem.granularity.networks import PATTERNS, counted_macs, masked


def test_everything_kept_is_the_network_itself_and_costs_what_it_did(
    net, structure, by_granularity
):
    whole = PruningUnits.of(structure, Granularity.parse("channel")).cost
    for units in by_granularity.values():
        dense = Plan.dense(units.decisions)
        ranking = units.rank(net, "l2")
        assert all(bool(mask.all()) for mask in ranking.masks(dense).values())
        assert units.cost.macs.dense == whole.macs.dense == counted_macs(net)
        assert units.cost.bytes.dense == whole.bytes.dense < units.cost.bytes(dense)
        assert units.cost.energy.dense == whole.energy.dense


@pytest.mark.parametrize("name", PATTERNS)
@pytest.mark.parametrize("text", ["0.7flops", "0.7params", "0.75bytes", "0.7params,0.8flops"])
def test_budgets_are_met_and_take_no_further_unit(net, by_granularity, name, text):
    units = by_granularity[name]
    budget = Budget.parse(text).bind(units.cost)
    plan = budget.uniform()
    model = masked(net, units, units.rank(net, "l2"), plan)
    for item in budget.constraints:
        assert item.bound == int(item.limit.amount * item.cost.dense)
    spent = {"macs": counted_macs(model), "parameters": units.cost.parameters(plan)}
    assert all(spent[k] <= v for k, v in budget.limits.items() if k in spent)
    quanta = [
        max(
            np.diff(i.cost.along(units.cost.counts(plan), g, budget.choices[g])).max()
            for g in range(len(units.layouts))
        )
        for i in budget.constraints
    ]
    left = [i.bound - i.cost(plan) for i in budget.constraints]
    assert any(rest < quantum for rest, quantum in zip(left, quanta, strict=True))


def test_a_budget_below_the_pattern_names_what_it_reaches(by_granularity):
    with pytest.raises(InfeasibleError, match="cannot go below") as error:
        Budget.parse("0.4flops").bind(by_granularity["2:4"].cost)
    reachable = error.value.hint.removeprefix("ask for at least ")
    Budget.parse(reachable).bind(by_granularity["2:4"].cost)
    assert 0.5 < float(reachable.removesuffix("flops")) < 0.53
