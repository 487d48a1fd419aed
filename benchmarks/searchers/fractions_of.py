"""Plans from keep fractions, for searchers whose papers think in ratios."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from autoprune import Plan, PruningProblem

Floats = NDArray[np.float64]


def sizes(problem: PruningProblem) -> Floats:
    """Return the units of every group, [groups]."""
    return np.array([group.size for group in problem.structure.groups], np.float64)


def rounded(problem: PruningProblem, kept: Floats) -> NDArray[np.int64]:
    """Return the allowed counts nearest to keep fractions [groups]."""
    budget, units = problem.budget, kept * sizes(problem)
    ends = [(int(choices[0]), int(choices[-1])) for choices in budget.choices]
    return np.array([budget.round_count(g, units[g], *ends[g]) for g in range(len(ends))], np.int64)


def on_budget(problem: PruningProblem, kept: Floats) -> Plan:
    """Return the plan of keep fractions [groups], all scaled alike until the budget is met.

    What is left of the budget goes to the groups that got least of what was asked for.
    """
    low, high = 0.0, 1.0
    for _ in range(14):
        middle = (low + high) / 2
        fits = problem.budget.fits(rounded(problem, middle * kept))
        low, high = (middle, high) if fits else (low, middle)
    whole = rounded(problem, kept)
    counts = whole if problem.budget.fits(whole) else rounded(problem, low * kept)
    wanted = dict(zip(problem.structure.sizes, kept * sizes(problem), strict=True))
    return problem.budget.top_up(
        problem.cost.plan(counts), lambda name, count: count / max(wanted[name], 1e-9)
    )
