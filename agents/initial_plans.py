"""Plans worth an evaluation before anything is learned."""

from __future__ import annotations

import numpy as np

from autoprune.agents.knapsack import Floats, cheapest_errors
from autoprune.envs.lagrangian import Guide
from autoprune.envs.walk import curves
from autoprune.problem.granularity import Masking
from autoprune.problem.heuristics import GLOBAL, NAMES, heuristic_plan
from autoprune.problem.problem import PruningProblem
from autoprune.structure.plan import Plan


def cheap_plans(problem: PruningProblem) -> list[Plan]:
    """Return the uniform plan, the one that the error curves alone suggest, and of masks a third.

    It goes by the size of the weights, whatever tensor they are in.
    """
    plans = [problem.budget.uniform(), least_error(problem)]
    if isinstance(problem.ranking, Masking):
        plans.append(heuristic_plan(GLOBAL, problem.budget, problem.ranking))
    return plans


def seed_plans(problem: PruningProblem) -> list[Plan]:
    """Return what the searchers that do not learn begin with: cheap plans, then rules of thumb."""
    rules = [heuristic_plan(name, problem.budget) for name in NAMES if name != GLOBAL]
    return list(dict.fromkeys([*cheap_plans(problem), *rules]))


def least_error(problem: PruningProblem, coefficients: Floats | None = None) -> Plan:
    """Return a plan with (nearly) the least sum of errors on the budget.

    ``coefficients`` [groups] multiply the groups' errors. See :mod:`autoprune.agents.knapsack`.
    """
    errors = curves(problem)
    scale = np.ones(len(errors)) if coefficients is None else coefficients
    scaled = [curve * factor for curve, factor in zip(errors, scale, strict=True)]
    guide = Guide.of(problem.budget, scaled)
    start = problem.budget.top_up(problem.cost.plan(guide.counts))
    return cheapest_errors(problem.budget, scaled, (start, problem.budget.uniform()))
