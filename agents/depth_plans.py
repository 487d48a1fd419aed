"""Branches that a plan takes out, chosen by what is lost and saved, before its widths.

Sets are nested: the branches in the order of what the loss rises by for the cost that each saves.
How many of them go is the question; errors of widths predict too little against measured rises, so
that what the sum of errors says is too few, and a few larger numbers are worth an evaluation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from autoprune.cost.bound_budget import BoundBudget
from autoprune.foundation.arrays import Floats
from autoprune.problem.problem import PruningProblem
from autoprune.structure.depth import removed
from autoprune.structure.plan import Plan
from autoprune.structure.table import BRANCH

SCAN: Final = (0.1, 0.2, 0.3)
"""Shares of all branches that go in the plans tried beside the predicted one, more than it has."""


def has_branches(problem: PruningProblem) -> bool:
    """Whether a plan of the problem may take out branches."""
    return any(group.kind == BRANCH for group in problem.structure.groups)


def number_gone(problem: PruningProblem, plan: Mapping[str, int]) -> int:
    """Count the branches that a plan takes out, parts of others included."""
    return sum(group.kind == BRANCH and not plan[group.name] for group in problem.structure.groups)


def branches_as(problem: PruningProblem, plan: Plan) -> PruningProblem:
    """Return the problem of the plans that take out the branches that ``plan`` does."""
    gone = [branch.name for branch in removed(problem.structure, plan)]
    return replace(problem, budget=problem.budget.without(gone))


def removal_order(problem: PruningProblem, errors: Sequence[Floats]) -> list[str]:
    """Return the branches that may go, the one of least error for its cost first."""
    budget = problem.budget
    without = np.tile(budget.largest, (len(budget.largest), 1))
    np.fill_diagonal(without, 0)
    saved = np.max(
        [
            1 - limit.cost.many(without) / limit.cost.at(budget.largest)
            for limit in budget.constraints
        ],
        axis=0,
    )
    ratios = {
        group.name: float(errors[place][0]) / max(float(saved[place]), 1e-12)
        for place, group in enumerate(problem.structure.groups)
        if group.kind == BRANCH and not budget.smallest[place] and budget.largest[place]
    }
    return sorted(ratios, key=ratios.__getitem__)


def least_number(
    problem: PruningProblem, order: Sequence[str], total: Callable[[BoundBudget], float]
) -> int:
    """Return how many branches of ``order`` go in the plan of least ``total`` error.

    Numbers that double are tried, then those around the best; the total falls and rises once.
    """
    known: dict[int, float] = {}

    def at(number: int) -> float:
        if number not in known:
            budget = problem.budget.without(order[:number])
            known[number] = total(budget) if budget.fits(budget.smallest) else np.inf
        return known[number]

    steps = [0, *(1 << power for power in range(len(order).bit_length()))]
    best = min((step for step in steps if step <= len(order)), key=at)
    step = max(best // 2, 1)
    while step:
        near = [best - step, best, best + step]
        best = min((one for one in near if 0 <= one <= len(order)), key=at)
        step //= 2
    return best


def scanned(number: int, most: int) -> list[int]:
    """Return the other numbers of branches to try, beside none and the predicted ``number``.

    ``most``: all that may go.
    """
    larger = [min(number + max(round(share * most), 1 + at), most) for at, share in enumerate(SCAN)]
    return [one for one in dict.fromkeys((*larger, 0)) if one != number]


def gone_like(problem: PruningProblem, plan: Plan, rng: np.random.Generator) -> int | None:
    """Draw how many branches are to go, about as many as in a plan; None if none may."""
    if not has_branches(problem):
        return None
    return max(0, number_gone(problem, plan) + int(rng.integers(-1, 2)))
