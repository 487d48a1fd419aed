"""Plans worth an evaluation before anything is learned."""

from __future__ import annotations

from autoprune.envs.core import curves
from autoprune.envs.guide import Guide
from autoprune.plan import Plan
from autoprune.problem import PruningProblem


def cheap_plans(problem: PruningProblem) -> list[Plan]:
    """Return the uniform plan, then the one that the error curves alone suggest."""
    return [problem.budget.uniform(), least_error(problem)]


def least_error(problem: PruningProblem) -> Plan:
    """Return a plan with nearly the least sum of errors on the budget; see ``Guide``."""
    guide = Guide.of(problem.budget, curves(problem))
    return problem.budget.top_up(problem.cost.plan(guide.counts))
