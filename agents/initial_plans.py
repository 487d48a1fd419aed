"""Initial plans: those worth an evaluation before anything is learned."""

from __future__ import annotations

import numpy as np

from autoprune.agents.knapsack import Floats, cheapest_errors
from autoprune.envs.lagrangian import LagrangianPlanner
from autoprune.envs.walk import curves
from autoprune.problem.granularity.masking import Masking
from autoprune.problem.heuristics import GLOBAL, NAMES, heuristic_plan
from autoprune.problem.problem import PruningProblem
from autoprune.structure.plan import Plan


def baseline_plans(problem: PruningProblem) -> list[Plan]:
    """Return the uniform plan, the plan of least error and, for masks, the ``global`` plan.

    The last keeps the largest weights, whatever tensor they are in.
    """
    plans = [problem.budget.uniform(), least_error(problem)]
    if isinstance(problem.ranking, Masking):
        plans.append(heuristic_plan(GLOBAL, problem.budget, problem.ranking))
    return plans


def warm_start_plans(problem: PruningProblem) -> list[Plan]:
    """Return the plans that DDPG starts from: the baselines, then the heuristics."""
    rules = [heuristic_plan(name, problem.budget) for name in NAMES if name != GLOBAL]
    return list(dict.fromkeys([*baseline_plans(problem), *rules]))


def least_error(problem: PruningProblem, coefficients: Floats | None = None) -> Plan:
    """Return a plan within the budget with (nearly) the least sum of errors.

    ``coefficients`` [groups] multiply the groups' errors. See :mod:`autoprune.agents.knapsack`.
    """
    errors = curves(problem)
    scale = np.ones(len(errors)) if coefficients is None else coefficients
    scaled = [curve * factor for curve, factor in zip(errors, scale, strict=True)]
    planner = LagrangianPlanner.of(problem.budget, scaled)
    start = problem.budget.top_up(problem.cost.plan(planner.counts))
    return cheapest_errors(problem.budget, scaled, (start, problem.budget.uniform()))
