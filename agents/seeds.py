"""Plans worth an evaluation before anything is learned."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoprune.budget import BoundBudget
from autoprune.cost import Counts
from autoprune.plan import Plan
from autoprune.problem import PruningProblem

Floats = NDArray[np.float64]

_ROUNDS: Final = 4
_BISECTIONS: Final = 40


def cheap_plans(problem: PruningProblem) -> list[Plan]:
    """Return the uniform plan, then the one that the error curves alone suggest."""
    return [problem.budget.uniform(), least_error(problem)]


def least_error(problem: PruningProblem) -> Plan:
    """Return a plan with nearly the least sum of errors on the budget.

    Lagrangian relaxation (Everett 1963): every group keeps units as long as one lowers its error by
    more than a common rate times its price. A unit's price depends on the other groups, so prices
    and plan are found in turns.
    """
    budget = problem.budget
    falls = [
        _slopes(problem.ranking.errors[group.name], choices)
        for group, choices in zip(problem.structure.groups, budget.choices, strict=True)
    ]
    counts = problem.cost.counts(budget.uniform())
    for _ in range(_ROUNDS):
        prices = _prices(budget, counts)
        worth = [fall / price for fall, price in zip(falls, prices, strict=True)]
        counts = _spend(budget, worth)
    return budget.top_up(problem.cost.plan(counts))


def _spend(budget: BoundBudget, worth: list[Floats]) -> Counts:
    """Lower the rate until the budget is spent; ``worth``: per step of each group, falling."""

    def at(rate: float) -> Counts:
        steps = [int(np.searchsorted(-each, -rate, "right")) for each in worth]
        return np.array([c[n] for c, n in zip(budget.choices, steps, strict=True)], np.int64)

    everything = np.concatenate(worth)
    low, high = 0.0, float(everything.max(initial=0.0)) * 2 + 1
    if budget.fits(at(low)):
        return at(low)
    for _ in range(_BISECTIONS):
        middle = (low * high) ** 0.5 if low else high / 2**8
        low, high = (low, middle) if budget.fits(at(middle)) else (middle, high)
    return at(high)


def _slopes(errors: Floats, choices: Counts) -> Floats:
    """How fast the lower convex hull of the errors falls per unit, [choices - 1], never rising."""
    values = errors[choices]
    corners: list[int] = []
    for point in range(len(choices)):
        while len(corners) > 1 and _above(choices, values, corners[-2], corners[-1], point):
            corners.pop()
        corners.append(point)
    hull = np.interp(choices, choices[corners], values[corners])
    falls: Floats = -np.diff(hull) / np.diff(choices)
    # Rounding may leave a rise of one part in 1e16, and searching needs an order.
    return np.minimum.accumulate(np.maximum(falls, 0.0))


def _above(x: Counts, y: Floats, a: int, b: int, c: int) -> bool:
    """Whether point b lies on or above the line from a to c."""
    return bool((y[b] - y[a]) * (x[c] - x[a]) >= (y[c] - y[a]) * (x[b] - x[a]))


def _prices(budget: BoundBudget, counts: Counts) -> Floats:
    """Cost of one unit of each group as a part of the budget, constraints summed, [groups]."""
    without = np.tile(counts, (len(counts), 1))
    np.fill_diagonal(without, 0)
    total = np.full(len(counts), 1e-12)
    for item in budget.constraints:
        total += (item.cost.at(counts) - item.cost.many(without)) / item.bound
    return total / counts
