"""Plans by rule of thumb."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoprune.budget import Budget
from autoprune.cost import CostModel
from autoprune.errors import InfeasibleError, UsageError
from autoprune.heuristics import NAMES, heuristic_plan, heuristic_plans
from tests.synthetic import chain, structures

BUDGETS = ("0.5flops", "0.3params", "0.6bytes,0.5flops")


@given(structures, st.sampled_from(BUDGETS), st.sampled_from(NAMES), st.integers(1, 4))
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
    # Alike but for their number, so that only the rule tells them apart.
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
    for plan in heuristic_plans(budget).values():
        assert dict(plan) == {"c0": 8, "c1": 16}


def test_an_unknown_rule_is_refused_by_name():
    budget = Budget.parse("0.5flops").bind(CostModel(chain([8])))
    with pytest.raises(UsageError, match="unknown heuristic 'wider-more'") as error:
        heuristic_plan("wider-more", budget)
    assert "larger-more" in error.value.hint
