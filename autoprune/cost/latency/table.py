"""Latency cost: a sum of measured tables over the counts of a plan, in integer nanoseconds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self

import numpy as np

from autoprune.cost.polynomial import Cost, Counts
from autoprune.errors import DamagedError
from autoprune.foundation.arrays import Floats

AXES: Final = 2
"""Number of sizes that the time of one operation is a table of."""

_FINE: Final = 32
"""Points that each of two passes along a line of plans distinguishes."""


@dataclass(frozen=True)
class Axis:
    """A size of an operation: ``fixed + times @ counts``, and where along it was measured."""

    fixed: int
    times: tuple[int, ...]
    knots: tuple[int, ...]


@dataclass(frozen=True)
class Table:
    """Nanoseconds of one operation: ``values`` [knots of the first axis, knots of the second].

    ``within``: indices of the branches without which the operation is not run.
    """

    axes: tuple[Axis, Axis]
    values: Floats
    within: tuple[int, ...] = ()


@dataclass(frozen=True)
class TableCost(Cost):
    """Sum of tables, interpolated linearly between knots, and corrected by whole networks.

    ``fixed`` [tables, 2], ``times`` [tables, 2, groups], ``knots`` [tables, 2, most knots] and
    ``values`` [tables, most knots, most knots], the unused ones holding the last. Knots start at
    size 0, at no time. ``sums`` and ``totals`` [networks], ascending: what the tables add up to for
    networks timed from end to end, and what those take; in between is interpolated, outside it is
    in proportion to the nearest. No table falls along its knots, and no size when a count rises, so
    neither does the cost; all of it is arithmetic on integers: not even rounding makes it fall.
    ``within`` [tables, groups] is 1 for the branches without which a table does not count; empty
    where there are none.
    """

    fixed: Counts
    times: Counts
    knots: Counts
    values: Counts
    sums: Counts = field(default_factory=lambda: np.ones(1, np.int64))
    totals: Counts = field(default_factory=lambda: np.ones(1, np.int64))
    within: Counts = field(default_factory=lambda: np.zeros((0, 0), np.int64))

    @classmethod
    def of(cls, groups: Sequence[str], sizes: Counts, tables: Iterable[Table]) -> Self:
        """Bring tables into one form; those over the same sizes and knots are added up.

        Tables must not fall along their knots (:func:`monotone`).
        """
        summed: dict[tuple[tuple[Axis, Axis], tuple[int, ...]], Floats] = {}
        for table in tables:
            known = summed.get((table.axes, table.within))
            added = table.values if known is None else known + table.values
            summed[table.axes, table.within] = added
        longest = max((len(axis.knots) for axes, _ in summed for axis in axes), default=1) + 1
        knots = np.array([[_padded(axis.knots, longest) for axis in axes] for axes, _ in summed])
        times = [[axis.times for axis in axes] for axes, _ in summed]
        within = np.zeros((len(summed), len(groups)), np.int64)
        for row, (_, branches) in enumerate(summed):
            within[row, list(branches)] = 1
        values = [_filled(values, longest) for values in summed.values()]
        return cls(
            tuple(groups),
            sizes,
            np.array([[a.fixed for a in axes] for axes, _ in summed], np.int64).reshape(-1, AXES),
            np.array(times, np.int64).reshape(-1, AXES, len(groups)),
            knots.astype(np.int64).reshape(-1, AXES, longest),
            np.array(values).round().astype(np.int64).reshape(-1, longest, longest),
            within=within if within.any() else np.zeros((0, 0), np.int64),
        )

    def calibrated(self, plans: Counts, measured: Floats) -> Self:
        """Correct the sums by measured nanoseconds [plans] of some plans [plans, groups].

        Measured values are replaced by the nearest ones that do not fall as sums rise.
        """
        sums, first = np.unique(self.many(plans), return_index=True)
        totals = monotone(measured[first]).round().astype(np.int64)
        return replace(self, sums=np.maximum(sums, 1), totals=totals)

    def many(self, counts: Counts) -> Counts:
        """Evaluate plans given as counts [plans, groups]; returns nanoseconds [plans]."""
        return self._whole(self._sum(counts, np.arange(len(self.fixed))))

    def along(self, counts: Counts, group: int, candidates: Counts) -> Counts:
        """Evaluate ``counts`` with each candidate [n] in place of one group's; returns [n]."""
        touched = self.times[:, :, group].any(axis=1)
        if len(self.within):
            touched |= self.within[:, group] > 0
        plans = np.tile(counts, (len(candidates), 1))
        plans[:, group] = candidates
        others = self._sum(counts[None], np.flatnonzero(~touched))
        return self._whole(others + self._sum(plans, np.flatnonzero(touched)))

    def solve_fraction(self, start: Counts, direction: Counts, bound: int) -> float:
        """Return the largest x, to a thousandth, at which the plan on a line fits."""
        low, span = 0.0, 1.0
        for _ in range(2):
            places = low + span * np.arange(_FINE + 1) / _FINE
            plans = start + np.floor(places[:, None] * direction + 1e-9).astype(np.int64)
            last = int(np.searchsorted(self.many(plans), bound, "right")) - 1
            if last == _FINE:
                return 1.0 if low + span >= 1 else float(places[-1])
            low, span = float(places[max(last, 0)]), span / _FINE
        return low

    def _whole(self, sums: Counts) -> Counts:
        """Return the times of whole networks, given the ``sums`` of their operations."""
        last = len(self.sums) - 1
        place = np.searchsorted(self.sums, sums, "right") - 1
        inside = (place >= 0) & (place < last)
        low = np.clip(place, 0, max(last - 1, 0))
        high = np.minimum(low + 1, last)
        rise, run = self.totals[high] - self.totals[low], self.sums[high] - self.sums[low]
        between = self.totals[low] + (sums - self.sums[low]) * rise // np.maximum(run, 1)
        end = np.where(place < 0, 0, last)
        outside = sums * self.totals[end] // self.sums[end]
        totals: Counts = np.where(inside, between, outside)
        return totals

    def _sum(self, counts: Counts, rows: Counts) -> Counts:
        """Add up some of the tables: bilinear interpolation, rounded down table by table."""
        if not len(rows):
            return np.zeros(len(counts), np.int64)
        knots = self.knots[rows]
        sizes = self.fixed[rows] + np.einsum("pg,tag->pta", counts, self.times[rows])
        place = np.sum(knots[None, :, :, 1:-1] <= sizes[..., None], axis=-1)  # [plans, tables, 2]
        table, axis = np.arange(len(rows))[:, None], np.arange(AXES)
        low, high = knots[table, axis, place], knots[table, axis, place + 1]
        step = high - low
        above = np.minimum(sizes, high) - low
        below = step - above
        values, (i, j) = self.values[rows], (place[..., 0], place[..., 1])
        t = table[:, 0]
        total = (
            values[t, i, j] * below[..., 0] * below[..., 1]
            + values[t, i + 1, j] * above[..., 0] * below[..., 1]
            + values[t, i, j + 1] * below[..., 0] * above[..., 1]
            + values[t, i + 1, j + 1] * above[..., 0] * above[..., 1]
        )
        parts = total // (step[..., 0] * step[..., 1])
        if len(self.within):
            parts *= ~(self.within[rows] @ (counts.T == 0)).T.astype(bool)
        result: Counts = parts.sum(axis=1)
        return result

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able object."""
        arrays = {name: getattr(self, name).tolist() for name in _ARRAYS}
        if len(self.within):
            arrays["within"] = self.within.tolist()
        return {"groups": list(self.groups), **arrays}

    @classmethod
    def from_json(cls, data: Any) -> Self:
        """Read what ``to_json`` wrote; raise DamagedError if it is anything else."""
        try:
            groups = tuple(data["groups"])
            arrays = [np.array(data[name], np.int64) for name in _ARRAYS]
            _, fixed, times, knots, values, sums, totals = arrays
            tables, longest = len(fixed), knots.shape[-1]
            shapes = [(len(groups),), (tables, AXES), (tables, AXES, len(groups))]
            shapes += [(tables, AXES, longest), (tables, longest, longest), (len(sums),)]
            actual = [array.shape for array in arrays]
            within = np.array(data.get("within") or np.zeros((0, 0)), np.int64)
        except (KeyError, TypeError, ValueError, OverflowError, IndexError):
            raise DamagedError("not a table of latencies") from None
        rising = [np.diff(knots, axis=-1) - 1, np.diff(sums) - 1, np.diff(totals), times, sums - 1]
        rising += [np.diff(values, axis=axis) for axis in (1, 2)] if values.ndim == 3 else []
        sound = actual == [*shapes, shapes[-1]] and len(sums) > 0
        sound &= within.shape in ((0, 0), (tables, len(groups)))
        if not sound or any((steps < 0).any() for steps in rising):
            raise DamagedError("not a table of latencies")
        return replace(cls(groups, *arrays), within=within)


_ARRAYS: Final = ("sizes", "fixed", "times", "knots", "values", "sums", "totals")


def monotone(values: Floats) -> Floats:
    """Return the nearest table that never falls along any axis.

    Measured widths form a staircase, with steps that go down. The mean of the running maximum and
    the running minimum from the far end is the monotone function that is nearest in the largest
    deviation (Ubhaya 1974, "Isotone optimization I"): it is off by half of the deepest fall.
    """
    upper, lower = values, np.flip(values)
    for axis in range(values.ndim):
        upper = np.maximum.accumulate(upper, axis=axis)
        lower = np.minimum.accumulate(lower, axis=axis)
    middle: Floats = (upper + np.flip(lower)) / 2
    return middle


def _padded(knots: Sequence[int], length: int) -> list[int]:
    """Put size 0 before the knots and sizes that are never reached behind them."""
    last = knots[-1]
    return [0, *knots, *range(last + 1, last + length - len(knots))]


def _filled(values: Floats, length: int) -> Floats:
    """Put no time at size 0, and the last time where nothing was measured.

    An axis with one knot is none: its time is the same everywhere.
    """
    rows, columns = values.shape
    before = (int(rows > 1), int(columns > 1))
    grown = np.pad(values, tuple((first, 0) for first in before))
    shape = [(0, length - size) for size in grown.shape]
    return np.pad(grown, shape, mode="edge")
