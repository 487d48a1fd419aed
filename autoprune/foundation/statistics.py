"""Means over seeds, paired differences and shares of samples, with 95 % intervals."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, sqrt
from statistics import fmean, stdev
from typing import NamedTuple

# Two-sided 95 % quantiles of Student's t for 1 to 30 degrees of freedom.
_T = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)
_NORMAL = 1.960


class Estimate(NamedTuple):
    """A mean over seeds; its 95 % interval is ``mean`` +- ``margin``, infinite for one seed."""

    mean: float
    margin: float

    @property
    def positive(self) -> bool:
        """Whether the whole interval lies above zero."""
        return self.mean - self.margin > 0

    @property
    def negative(self) -> bool:
        """Whether the whole interval lies below zero."""
        return self.mean + self.margin < 0

    def to_json(self) -> dict[str, float | None]:
        """Return a JSON-able object; the margin of one seed is null."""
        return {"mean": self.mean, "margin": self.margin if self.margin < inf else None}


def estimate(values: Sequence[float]) -> Estimate:
    """Return the mean of a sample and half the width of Student's 95 % interval."""
    if len(values) < 2:
        return Estimate(values[0], inf)
    freedom = len(values) - 1
    quantile = _T[freedom - 1] if freedom <= len(_T) else _NORMAL
    return Estimate(fmean(values), quantile * stdev(values) / sqrt(len(values)))


def wilson(share: float, number: int) -> tuple[float, float]:
    """Return the 95 % interval of a share seen in ``number`` samples (Wilson 1927, equation 4).

    A mean of scores in [0, 1] varies at most as much as a share, so it holds for those, too.
    """
    if number < 1:
        return 0.0, 1.0
    square = _NORMAL**2
    middle = (share + square / (2 * number)) / (1 + square / number)
    spread = sqrt(share * (1 - share) / number + square / (4 * number**2))
    margin = _NORMAL * spread / (1 + square / number)
    return max(0.0, middle - margin), min(1.0, middle + margin)


def difference(one: Sequence[float], other: Sequence[float]) -> Estimate:
    """Estimate the mean of paired differences ``one - other``."""
    return estimate([a - b for a, b in zip(one, other, strict=True)])
