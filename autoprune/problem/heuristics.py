"""Heuristic plans: rules that spend a budget without data or evaluations.

``uniform`` keeps the same fraction of every group. ``deeper-more``, ``shallower-more`` and
``larger-more`` prune the later groups, the earlier ones, or those with more of the cost harder (the
hand-made policies of He et al. 2018, arXiv:1802.03494, table 2, and the last by share of the
budgeted cost). With x what ``uniform`` would keep, they keep x**e of a group, the exponent e rising
evenly from ``GENTLE`` to ``HARD`` over the groups in the order of the rule: nothing is pruned at
x = 1, and every fraction rises with x. Each plan lies on the budget, and each is a reasonable first
evaluation for a searcher.

``global`` is for single weights: the smallest are removed first, whatever tensor they are in
(Frankle and Carbin 2019, section 4). ``uniform`` is its layer-wise counterpart.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from autoprune.cost.bisection import largest_that
from autoprune.cost.bound_budget import BoundBudget
from autoprune.cost.polynomial import Counts
from autoprune.errors import UsageError
from autoprune.foundation.arrays import Floats
from autoprune.problem.granularity.masking import Masking
from autoprune.ranking.ordering import Ranking
from autoprune.structure.plan import Plan

GENTLE: Final = 0.5
"""Exponent of the group that a rule prunes least."""

HARD: Final = 1.5
"""Exponent of the group that a rule prunes most."""


def heuristic_plan(name: str, budget: BoundBudget, ranking: Ranking | None = None) -> Plan:
    """Return the plan of a rule for a budget; no unit could be added to it.

    ``global`` needs the ranking of the weights. Raises UsageError for a name that is not in
    ``NAMES``, and for ``global`` without single weights.
    """
    check_heuristic(name, masked=isinstance(ranking, Masking))
    if isinstance(ranking, Masking) and name == GLOBAL:
        return _global(budget, ranking)
    if name == "uniform":
        return budget.uniform()
    return _spend(budget, _exponents(_ORDERS[name](budget)))


def check_heuristic(name: str, *, masked: bool) -> None:
    """Raise UsageError unless ``name`` is one of ``NAMES`` and applies to the kind of units."""
    if name not in NAMES:
        raise UsageError(f"unknown heuristic {name!r}", f"choose from {', '.join(NAMES)}")
    if name == GLOBAL and not masked:
        raise UsageError(
            "--heuristic global compares single weights, and channels differ in what they are made"
            " of",
            "add --granularity weight, or take another heuristic",
        )


def _depth(budget: BoundBudget) -> Floats:
    return np.arange(len(budget.largest), dtype=np.float64)


def _cost(budget: BoundBudget) -> Floats:
    """Share of each group in the cost that is limited first, [groups]."""
    measure = budget.constraints[0].cost if budget.constraints else budget.cost.macs
    return measure.shares


_ORDERS: Final[dict[str, Callable[[BoundBudget], Floats]]] = {
    "deeper-more": _depth,
    "shallower-more": lambda budget: -_depth(budget),
    "larger-more": _cost,
}

GLOBAL: Final = "global"

NAMES: Final = ("uniform", *_ORDERS, GLOBAL)
"""Rules that :func:`heuristic_plan` knows."""


def _exponents(values: Floats) -> Floats:
    """Spread exponents evenly over groups, the largest value hardest, equal values alike."""
    levels, place = np.unique(values, return_inverse=True)
    if len(levels) == 1:
        return np.ones(len(values))
    spread: Floats = GENTLE + (HARD - GENTLE) * place / (len(levels) - 1)
    return spread


def _global(budget: BoundBudget, ranking: Masking) -> Plan:
    """Keep the units of largest mean weight size over all tensors."""
    worth = ranking.worth()
    names = [group.name for group in budget.cost.structure.groups]
    falling = [np.minimum.accumulate(worth[name]) for name in names]  # sums leave rounding

    def at(least: float) -> Counts:
        counts = [int(np.searchsorted(-sizes, -least, "right")) for sizes in falling]
        return np.clip(np.array(counts, np.int64), budget.smallest, budget.largest)

    levels = np.unique(np.concatenate(falling))[::-1]
    fits, exceeds = 0, len(levels)  # numbers of levels within the budget, and beyond it
    if budget.fits(at(float(levels[-1]))):
        fits = exceeds
    while exceeds - fits > 1:
        middle = (fits + exceeds) // 2
        within = budget.fits(at(float(levels[middle - 1])))
        fits, exceeds = (middle, exceeds) if within else (fits, middle)
    start = at(float(levels[fits - 1])) if fits else budget.smallest
    place = dict(zip(names, falling, strict=True))
    return budget.top_up(budget.cost.plan(start), lambda name, count: -place[name][count])


def _spend(budget: BoundBudget, exponents: Floats) -> Plan:
    sizes = np.array([group.size for group in budget.cost.structure.groups], np.float64)

    def at(x: float) -> Counts:
        """Return the counts at a level, [groups]."""
        return budget.nearest(x**exponents * sizes)

    if budget.fits(at(1.0)):
        return budget.top_up(budget.cost.plan(at(1.0)))
    low = largest_that(lambda x: budget.fits(at(x)))
    wanted = np.maximum(low**exponents * sizes, 1e-9)
    target = {g.name: w for g, w in zip(budget.cost.structure.groups, wanted, strict=True)}
    # The group furthest below its target grows first.
    return budget.top_up(budget.cost.plan(at(low)), lambda name, count: count / target[name])
