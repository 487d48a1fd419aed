"""Plans by rule of thumb: how to spend a budget without looking at data or evaluating anything.

``uniform`` keeps the same fraction of every group. ``deeper-more``, ``shallower-more`` and
``larger-more`` prune the later groups, the earlier ones, or those with more of the cost harder (the
hand-made policies of He et al. 2018, arXiv:1802.03494, table 2, and the last by share of the
budgeted cost). With x what ``uniform`` would keep, they keep x**e of a group, the exponent e rising
evenly from ``GENTLE`` to ``HARD`` over the groups in the order of the rule: nothing is pruned at
x = 1, and every fraction rises with x. Each plan lands on the budget like any other, and each is as
good a first evaluation for a searcher as ``uniform`` is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoprune.budget import BoundBudget
from autoprune.cost import Counts
from autoprune.errors import UsageError
from autoprune.plan import Plan

Floats = NDArray[np.float64]

GENTLE: Final = 0.5
"""Exponent of the group that a rule prunes least."""

HARD: Final = 1.5
"""Exponent of the group that a rule prunes most."""

_BISECTIONS: Final = 40


def heuristic_plan(name: str, budget: BoundBudget) -> Plan:
    """Return the plan that the rule of that name makes of a budget; no unit could be added to it.

    Raises UsageError for a name that is not in ``NAMES``.
    """
    check_heuristic(name)
    if name == "uniform":
        return budget.uniform()
    return _spend(budget, _exponents(_ORDERS[name](budget)))


def heuristic_plans(budget: BoundBudget) -> dict[str, Plan]:
    """Return the plans of all rules by name, ``uniform`` first; some may be equal."""
    return {name: heuristic_plan(name, budget) for name in NAMES}


def check_heuristic(name: str) -> None:
    """Raise UsageError unless ``name`` is one of ``NAMES``."""
    if name not in NAMES:
        raise UsageError(f"unknown heuristic {name!r}", f"choose from {', '.join(NAMES)}")


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

NAMES: Final = ("uniform", *_ORDERS)
"""Rules that :func:`heuristic_plan` knows."""


def _exponents(values: Floats) -> Floats:
    """Spread exponents evenly over groups, the largest value hardest, equal values alike."""
    levels, place = np.unique(values, return_inverse=True)
    if len(levels) == 1:
        return np.ones(len(values))
    spread: Floats = GENTLE + (HARD - GENTLE) * place / (len(levels) - 1)
    return spread


def _spend(budget: BoundBudget, exponents: Floats) -> Plan:
    sizes = np.array([group.size for group in budget.cost.structure.groups], np.float64)

    def at(x: float) -> Counts:
        wanted = x**exponents * sizes
        return np.array(
            [
                budget.nearest(g, wanted[g], int(choices[0]), int(choices[-1]))
                for g, choices in enumerate(budget.choices)
            ],
            np.int64,
        )

    low, high = 0.0, 1.0
    if budget.fits(at(high)):
        return budget.top_up(budget.cost.plan(at(high)))
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if budget.fits(at(middle)) else (low, middle)
    wanted = np.maximum(low**exponents * sizes, 1e-9)
    target = {g.name: w for g, w in zip(budget.cost.structure.groups, wanted, strict=True)}
    # What falls furthest short of its fraction grows first.
    return budget.top_up(budget.cost.plan(at(low)), lambda name, count: count / target[name])
