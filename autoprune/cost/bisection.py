"""Bisection: how far one can go along a line before a limit is passed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

HALVINGS: Final = 40
"""Enough to tell apart any two counts of units that a network can have."""


def largest_that(holds: Callable[[float], bool], high: float = 1.0) -> float:
    """Return about the largest number in [0, high] for which a condition holds.

    The condition must hold up to some number and no further; 0 where it never holds.
    """
    if holds(high):
        return high
    low = 0.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low
