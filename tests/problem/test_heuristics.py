"""Plans by rule of thumb."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from autoprune.cost.budget import Budget
from autoprune.cost.model import CostModel
from autoprune.errors import InfeasibleError, UsageError
from autoprune.problem.granularity.parse import Granularity
from autoprune.problem.granularity.units import PruningUnits
from autoprune.problem.heuristics import GLOBAL, NAMES, heuristic_plan
from autoprune.structure.analyze import analyze
from tests.synthetic import chain, structures

RULES = [name for name in NAMES if name != GLOBAL]
BUDGETS = ("0.5flops", "0.3params", "0.6bytes,0.5flops")


@given(structures, st.sampled_from(BUDGETS), st.sampled_from(RULES), st.integers(1, 4))
def test_every_plan_is_on_the_budget_and_takes_no_further_unit(structure, text, name, align):
    try:
        budget = Budget.parse(text).bind(CostModel(structure), align)
    except InfeasibleError:
        return
    plan = heuristic_plan(name, budget)
    plan.check(structure)
    assert budget.met(plan)
    assert budget.top_up(plan) == plan


def fractions(name, budget):
    plan = heuristic_plan(name, budget)
    return [plan[group.name] / group.size for group in budget.cost.structure.groups]


def test_the_rules_prune_where_they_say():
    # Groups that differ only in their position: the rule alone distinguishes them.
    budget = Budget.parse("0.4params").bind(CostModel(chain([200] * 6)))
    assert np.ptp(fractions("uniform", budget)) < 0.01
    assert (np.diff(fractions("deeper-more", budget)) < -0.01).all()
    assert (np.diff(fractions("shallower-more", budget)) > 0.01).all()
    wide = Budget.parse("0.4params").bind(CostModel(chain([40, 400, 80, 200])))
    kept = fractions("larger-more", wide)
    order = np.argsort(wide.constraints[0].cost.shares)
    assert (np.diff(np.array(kept)[order]) < 0).all()


def test_a_budget_that_asks_for_nothing_keeps_everything():
    budget = Budget.parse("1.0flops").bind(CostModel(chain([8, 16])))
    for name in RULES:
        assert dict(heuristic_plan(name, budget)) == {"c0": 8, "c1": 16}


def test_an_unknown_rule_is_refused_by_name():
    budget = Budget.parse("0.5flops").bind(CostModel(chain([8])))
    with pytest.raises(UsageError, match="unknown heuristic 'wider-more'") as error:
        heuristic_plan("wider-more", budget)
    assert "larger-more" in error.value.hint
    with pytest.raises(UsageError, match="compares single weights"):
        heuristic_plan("global", budget)


@pytest.mark.parametrize("granularity", ["weight", "1:4"])
@pytest.mark.parametrize("text", ["0.6params", "0.5flops,0.7params", "1.0flops"])
def test_global_keeps_the_largest_weights_wherever_they_are(granularity, text):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 8, 3), nn.Conv2d(8, 4, 3))
    net[2].weight.data *= 3  # its weights are worth more
    units = PruningUnits.of(analyze(net, torch.randn(2, 3, 9, 9)), Granularity.parse(granularity))
    budget = Budget.parse(text).bind(units.cost)
    ranking = units.rank(net, "l2")
    plan = heuristic_plan("global", budget, ranking)
    assert budget.met(plan)
    assert budget.top_up(plan) == plan
    shares = {item.group: plan[item.group] / item.units for item in units.layouts}
    assert text == "1.0flops" or shares["2"] > max(shares["0"], shares["3"])
    if (granularity, text) == ("weight", "0.6params"):
        # One threshold, but for the step that no longer fitted: every weight that stays is larger
        # than every one that goes, to within a unit.
        worth = ranking.worth()
        least = min(worth[name][plan[name] - 1] for name in plan if plan[name] > 1)
        gone = [worth[name][plan[name]] for name in plan if plan[name] < len(worth[name])]
        assert least > 0.97 * max(gone)
