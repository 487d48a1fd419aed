"""Plans from keep fractions, for searchers whose papers think in ratios."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from autoprune import Plan, PruningProblem

Floats = NDArray[np.float64]


def sizes(problem: PruningProblem) -> Floats:
    """Return the units of every group, [groups]."""
    return np.array([group.size for group in problem.structure.groups], np.float64)


def branches(problem: PruningProblem) -> NDArray[np.bool_]:
    """Say which groups are branches, which stay or go, [groups]."""
    return np.array([group.kind == "branch" for group in problem.structure.groups])


def fractions(problem: PruningProblem, plan: Plan) -> Floats:
    """Return the keep fractions of a plan [groups]; of a branch the middle of what means it."""
    kept: Floats = problem.budget.counts(plan) / sizes(problem)
    return np.where(branches(problem), 0.25 + kept / 2, kept)


def rounded(problem: PruningProblem, kept: Floats) -> NDArray[np.int64]:
    """Return the allowed counts nearest to keep fractions [groups]."""
    budget, units = problem.budget, kept * sizes(problem)
    ends = [(int(choices[0]), int(choices[-1])) for choices in budget.choices]
    return np.array([budget.round_count(g, units[g], *ends[g]) for g in range(len(ends))], np.int64)


def on_budget(problem: PruningProblem, kept: Floats) -> Plan:
    """Return the plan of keep fractions [groups], all scaled alike until the budget is met.

    A branch goes below one half, and is scaled only if the budget is out of reach without. What is
    left of the budget goes to the groups that got least of what was asked for.
    """
    whole = branches(problem)

    def scaled(by: float) -> NDArray[np.int64]:
        return rounded(problem, np.where(whole, kept, by * kept))

    if not problem.budget.fits(scaled(0.0)):
        whole[:] = False
    low, high = 0.0, 1.0
    for _ in range(14):
        middle = (low + high) / 2
        low, high = (middle, high) if problem.budget.fits(scaled(middle)) else (low, middle)
    counts = scaled(1.0) if problem.budget.fits(scaled(1.0)) else scaled(low)
    wanted = dict(zip(problem.structure.sizes, kept * sizes(problem), strict=True))
    return problem.budget.top_up(
        problem.cost.plan(counts), lambda name, count: count / max(wanted[name], 1e-9)
    )
