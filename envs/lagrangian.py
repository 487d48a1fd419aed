"""Lagrangian planner: the plan of (nearly) least total error on what a budget leaves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from autoprune.cost.bound_budget import BoundBudget
from autoprune.cost.polynomial import Counts
from autoprune.foundation.arrays import Floats

_ROUNDS: Final = 6
_LEVELS: Final = 64
_SHARPNESS: Final = 2


@dataclass(frozen=True, eq=False)
class LagrangianPlanner:
    """Planner by Lagrangian relaxation (Everett 1963) of a budget over error curves.

    Every group keeps units as long as one lowers its error by more than a common rate times its
    price. A unit's price depends on the other groups, so prices and plan are computed alternately,
    and so are the multipliers of several limits: a limit with more left over weighs less.

    ``counts`` [groups]: the plan, within the budget but perhaps with room for single units.
    ``ladder`` [levels, groups]: counts at falling rates, from the least to everything.
    """

    budget: BoundBudget
    counts: Counts
    ladder: Counts

    @classmethod
    def of(cls, budget: BoundBudget, errors: Sequence[Floats]) -> Self:
        """Plan for the error of each group by count, [size + 1] each."""
        falls = [
            _slopes(curve, choices) for curve, choices in zip(errors, budget.choices, strict=True)
        ]
        counts, rounds = budget.counts(budget.uniform()), []
        multipliers = np.ones(len(budget.constraints))
        prices = _prices(budget, counts, multipliers)
        for _ in range(_ROUNDS * len(multipliers)):
            # Damped by a geometric mean: with two limits, plans would oscillate otherwise.
            prices = np.sqrt(prices * _prices(budget, counts, multipliers))
            worth = [fall / price for fall, price in zip(falls, prices, strict=True)]
            counts = _spend(budget, worth)
            left = sum(curve[count] for curve, count in zip(errors, counts, strict=True))
            rounds.append((float(left), counts, worth))
            used = [
                constraint.cost.at(counts) / constraint.bound for constraint in budget.constraints
            ]
            multipliers = multipliers * np.array(used) ** _SHARPNESS
            multipliers /= multipliers.max()
        _, counts, worth = min(rounds, key=lambda outcome: outcome[0])
        return cls(budget, counts, _ladder(budget, worth))

    def units(self, prefix: Sequence[int]) -> float:
        """Return the fractional count of the group after ``prefix``, at one rate for all undecided.

        Between two levels of the ladder, groups grow evenly, by what the tightest limit allows.
        """
        group = len(prefix)
        low, high = 0, len(self.ladder) - 1
        rest = self.ladder[:, group:]
        start = np.asarray(prefix, np.int64)
        if self.budget.fits(np.concatenate((start, rest[high]))):
            return float(rest[high, 0])
        while high - low > 1:
            middle = (low + high) // 2
            fits = self.budget.fits(np.concatenate((start, rest[middle])))
            low, high = (middle, high) if fits else (low, middle)
        below, above = (np.concatenate((start, rest[level])) for level in (low, high))
        part = min(
            (constraint.bound - constraint.cost.at(below))
            / (constraint.cost.at(above) - constraint.cost.at(below))
            for constraint in self.budget.constraints
            if constraint.cost.at(above) > constraint.bound
        )
        return float(rest[low, 0] + max(part, 0.0) * (rest[high, 0] - rest[low, 0]))


def _ladder(budget: BoundBudget, worth: list[Floats]) -> Counts:
    rates = np.unique(np.concatenate(worth))[::-1]
    if len(rates) > _LEVELS:
        rates = rates[np.linspace(0, len(rates) - 1, _LEVELS).round().astype(int)]
    return np.concatenate([budget.smallest[None], _at(budget, worth, rates), budget.largest[None]])


def _at(budget: BoundBudget, worth: list[Floats], rates: Floats) -> Counts:
    """Return the counts of groups that take every step worth at least a rate, [rates, groups]."""
    columns = [
        choices[np.searchsorted(-steps, -rates, "right")]
        for choices, steps in zip(budget.choices, worth, strict=True)
    ]
    return np.stack(columns, axis=1)


def _spend(budget: BoundBudget, worth: list[Floats]) -> Counts:
    """Return the counts at the lowest rate that the budget allows.

    ``worth``: for each group the decrease in error per price of every step, falling.
    """
    levels = _at(budget, worth, np.unique(np.concatenate(worth)))
    good = np.all(
        [constraint.cost.many(levels) <= constraint.bound for constraint in budget.constraints],
        axis=0,
    )
    counts: Counts = levels[int(np.argmax(good))] if good.any() else budget.smallest
    return counts


def _slopes(errors: Floats, choices: Counts) -> Floats:
    """Decrease of the lower convex hull of the errors per unit, [choices - 1], never rising."""
    values = errors[choices]
    corners: list[int] = []
    for point in range(len(choices)):
        while len(corners) > 1 and _above(choices, values, corners[-2], corners[-1], point):
            corners.pop()
        corners.append(point)
    hull = np.interp(choices, choices[corners], values[corners])
    falls: Floats = -np.diff(hull) / np.diff(choices)
    # Rounding may leave a rise of one part in 1e16, but searchsorted needs sorted values.
    return np.minimum.accumulate(np.maximum(falls, 0.0))


def _above(x: Counts, y: Floats, a: int, b: int, c: int) -> bool:
    """Whether point b lies on or above the line from a to c."""
    return bool((y[b] - y[a]) * (x[c] - x[a]) >= (y[c] - y[a]) * (x[b] - x[a]))


def _prices(budget: BoundBudget, counts: Counts, multipliers: Floats) -> Floats:
    """Cost of one unit of each group as a share of the budget, limits weighted, [groups]."""
    without = np.tile(counts, (len(counts), 1))
    np.fill_diagonal(without, 0)
    total = np.full(len(counts), 1e-12)
    for constraint, multiplier in zip(budget.constraints, multipliers, strict=True):
        total += (
            multiplier
            * (constraint.cost.at(counts) - constraint.cost.many(without))
            / constraint.bound
        )
    return total / np.maximum(counts, 1)
