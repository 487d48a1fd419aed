"""Initial plans: those worth an evaluation before anything is learned."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autoprune.agents.depth_plans import (
    has_branches,
    least_number,
    number_gone,
    removal_order,
    scanned,
)
from autoprune.agents.knapsack import cheapest_errors
from autoprune.cost.bound_budget import BoundBudget
from autoprune.envs.lagrangian import LagrangianPlanner
from autoprune.envs.walk import curves
from autoprune.foundation.arrays import Floats
from autoprune.problem.granularity.masking import Masking
from autoprune.problem.heuristics import GLOBAL, NAMES, heuristic_plan
from autoprune.problem.problem import PruningProblem
from autoprune.structure.plan import Plan


def baseline_plans(problem: PruningProblem) -> list[Plan]:
    """Return the uniform plan, the plan of least error and, for masks, the ``global`` plan.

    The last keeps the largest weights, whatever tensor they are in. Where branches may go, plans
    with other numbers of them gone follow (:mod:`autoprune.agents.depth_plans`).
    """
    plans = [problem.budget.uniform(), least_error(problem)]
    if has_branches(problem):
        number = number_gone(problem, plans[1])
        most = len(removal_order(problem, curves(problem)))
        plans += [least_error(problem, gone=other) for other in scanned(number, most)]
    if isinstance(problem.ranking, Masking):
        plans.append(heuristic_plan(GLOBAL, problem.budget, problem.ranking))
    return plans


def warm_start_plans(problem: PruningProblem) -> list[Plan]:
    """Return the plans that DDPG starts from: the baselines, then the heuristics."""
    rules = [heuristic_plan(name, problem.budget) for name in NAMES if name != GLOBAL]
    return list(dict.fromkeys([*baseline_plans(problem), *rules]))


def least_error(
    problem: PruningProblem, coefficients: Floats | None = None, gone: int | None = None
) -> Plan:
    """Return a plan within the budget with (nearly) the least sum of errors.

    ``coefficients`` [groups] multiply the groups' errors. ``gone``: how many branches are to go, at
    most as many as fit; by default what the errors predict as best. See
    :mod:`autoprune.agents.knapsack`.
    """
    errors = curves(problem)
    scale = np.ones(len(errors)) if coefficients is None else coefficients
    scaled = [curve * factor for curve, factor in zip(errors, scale, strict=True)]
    budget = problem.budget
    if has_branches(problem):
        order = removal_order(problem, scaled)
        if gone is None:
            gone = least_number(problem, order, lambda some: _total(some, scaled))
        budget = _within_reach(problem, order, min(gone, len(order)))
    planner = LagrangianPlanner.of(budget, scaled)
    start = budget.top_up(problem.cost.plan(planner.counts))
    plan = cheapest_errors(budget, scaled, (start, budget.uniform()))
    return problem.budget.top_up(plan)  # a branch may fit beside all that the steps let be added


def _within_reach(problem: PruningProblem, order: Sequence[str], gone: int) -> BoundBudget:
    """Return the budget without the first branches, more of them where it cannot be met."""
    for number in range(gone, len(order) + 1):
        budget = problem.budget.without(order[:number])
        if budget.fits(budget.smallest):
            return budget
    return problem.budget


def _total(budget: BoundBudget, errors: Sequence[Floats]) -> float:
    """Sum of the errors of the plan that a planner makes for a budget."""
    counts = LagrangianPlanner.of(budget, errors).counts
    return float(sum(curve[count] for curve, count in zip(errors, counts, strict=True)))
