"""Knapsack over error curves: near the best of all plans, on every cost."""

import numpy as np
import pytest

from autoprune.agents import knapsack
from autoprune.agents.initial_plans import least_error
from autoprune.envs.walk import WalkContext, curves
from tests.landscape import chain_landscape, landscape, residual_landscape
from tests.synthetic import chain


@pytest.mark.parametrize("seed", range(6))
def test_least_error_is_within_five_percent_of_the_best_of_all_plans(seed):
    problem = landscape(chain([12, 9, 14, 8, 6]), seed)
    errors = [problem.ranking.errors[group.name] for group in problem.structure.groups]
    plans = np.stack(np.meshgrid(*problem.budget.choices, indexing="ij"), -1).reshape(-1, 5)
    fitting = plans[problem.cost.macs.many(plans) <= problem.budget.limits["macs"]]
    total = sum(curve[fitting[:, i]] for i, curve in enumerate(errors))
    assert total.min() <= summed_error(problem, least_error(problem)) <= 1.05 * total.min()


@pytest.mark.parametrize("budget", ["0.5flops", "0.4flops,0.5params", "0.5energy", "0.3bytes"])
@pytest.mark.parametrize("align", [1, 8])
def test_the_knapsack_is_better_than_its_start_on_every_cost(budget, align):
    problem = residual_landscape(1, blocks=3, budget=budget, align=align)
    start = problem.cost.plan(WalkContext.of(problem).planner.counts)
    plan = least_error(problem)
    assert problem.budget.met(plan) and problem.budget.top_up(plan) == plan
    assert summed_error(problem, plan) <= summed_error(problem, start)
    assert summed_error(problem, plan) < summed_error(problem, problem.budget.uniform())


def test_coefficients_move_units_to_the_groups_they_favor():
    problem = chain_landscape(3)
    favored = np.arange(12) % 2 == 0
    plain, bent = (
        np.array(list(least_error(problem, np.where(favored, c, 1.0)).values())) for c in (1, 9)
    )
    assert (bent >= plain)[favored].all() and (bent < plain)[~favored].any()


def summed_error(problem, plan):
    pairs = zip(curves(problem), plan.values(), strict=True)
    return float(sum(curve[count] for curve, count in pairs))


@pytest.mark.parametrize("budget", ["0.5flops", "0.4flops,0.5params"])
def test_exchanges_known_to_break_a_limit_are_those_that_do(budget):
    problem = residual_landscape(2, blocks=2, budget=budget)
    bound, rng = problem.budget, np.random.default_rng(0)
    counts = problem.cost.counts(bound.uniform())
    places = np.array([np.searchsorted(c, k) for c, k in zip(bound.choices, counts, strict=True)])
    known = knapsack._too_much(bound, places)
    checked = set()
    for up, down, give, take in rng.integers(0, (4, 4, len(places), len(places)), (400, 4)):
        moved = places.copy()
        moved[give] += 2**up
        moved[take] -= 2**down
        if give == take or moved[give] >= len(bound.choices[give]) or moved[take] < 0:
            continue
        fits = bound.fits(np.array([c[at] for c, at in zip(bound.choices, moved, strict=True)]))
        apart = not any(one.cost.linked[give, take] for one in bound.constraints)
        assert not (known[up, down, give, take] and fits)
        assert fits or known[up, down, give, take] or not apart
        checked.add((apart, bool(fits)))
    assert len(checked) == 4  # linked and not, fitting and not
