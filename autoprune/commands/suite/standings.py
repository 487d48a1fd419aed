"""Standings of searchers: paired differences, corrected for their number, regret and ranks.

At one budget, every searcher is compared with the one of least mean loss, by Student's t on the
differences of equal seeds. Which differ is decided by Holm's procedure (1979, Scandinavian Journal
of Statistics 6) at 5 % over the comparisons of that budget; intervals are those of Bonferroni, 95 %
for all of them together, since Holm's procedure has no simple ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Final

LEVEL: Final = 0.05

_CELLS: Final = 2000
"""Trapezoids of an integral of Student's density."""


@dataclass(frozen=True)
class Gap:
    """Mean paired difference to the best, its interval's half width, and Holm's adjusted p."""

    mean: float
    margin: float
    p: float

    @property
    def apart(self) -> bool:
        """Whether the difference is told apart from none."""
        return self.p < LEVEL


def gaps(losses: Mapping[str, Sequence[float]]) -> dict[str, Gap]:
    """Return the gap of each searcher to the one of least mean loss, whose own is 0.

    ``losses``: by searcher, one per seed, in the same order. One seed leaves every interval open.
    """
    best = min(losses, key=lambda name: fmean(losses[name]))
    others = [name for name in losses if name != best]
    found = {name: _paired(losses[name], losses[best], len(others)) for name in others}
    adjusted = holm({name: p for name, (_, _, p) in found.items()})
    result = {name: Gap(mean, margin, adjusted[name]) for name, (mean, margin, _) in found.items()}
    return {name: result.get(name, Gap(0.0, 0.0, 1.0)) for name in losses}


def holm(values: Mapping[str, float]) -> dict[str, float]:
    """Return the adjusted p of each comparison (Holm 1979): below 5 % means told apart."""
    adjusted, least = {}, 0.0
    for place, name in enumerate(sorted(values, key=values.__getitem__)):
        least = max(least, min(1.0, (len(values) - place) * values[name]))
        adjusted[name] = least
    return adjusted


def ranks(values: Mapping[str, float]) -> dict[str, float]:
    """Return the rank of each, 1 for the least; equal values share their mean rank."""
    ordered = sorted(values.values())
    return {
        name: ordered.index(value) + (ordered.count(value) + 1) / 2
        for name, value in values.items()
    }


def student_p(t: float, freedom: int) -> float:
    """Return the probability that Student's t is at least as far from 0 on either side."""
    if math.isinf(t):
        return 0.0
    # With x = sqrt(n) tan(a), the density becomes a power of a cosine on a finite interval.
    end = math.atan(abs(t) / math.sqrt(freedom))
    step = end / _CELLS
    values = [math.cos(step * place) ** (freedom - 1) for place in range(_CELLS + 1)]
    inside = step * (sum(values) - (values[0] + values[-1]) / 2)
    scale = math.gamma((freedom + 1) / 2) / (math.gamma(freedom / 2) * math.sqrt(math.pi))
    return min(1.0, max(0.0, 1 - 2 * scale * inside))


def student_quantile(p: float, freedom: int) -> float:
    """Return the t that is exceeded on either side with probability ``p``."""
    low, high = 0.0, 1.0
    while student_p(high, freedom) > p:
        low, high = high, 2 * high
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if student_p(middle, freedom) > p else (low, middle)
    return high


def _paired(
    one: Sequence[float], other: Sequence[float], comparisons: int
) -> tuple[float, float, float]:
    """Return the mean difference, half of its interval's width, and p before adjustment."""
    differences = [a - b for a, b in zip(one, other, strict=True)]
    mean, freedom = fmean(differences), len(differences) - 1
    if freedom < 1:
        return mean, math.inf, 1.0
    error = stdev(differences) / math.sqrt(len(differences))
    if error == 0:  # both found the same plans every time, or differ by the same amount
        return mean, 0.0, 0.0 if mean else 1.0
    margin = student_quantile(LEVEL / max(comparisons, 1), freedom) * error
    return mean, margin, student_p(mean / error, freedom)
