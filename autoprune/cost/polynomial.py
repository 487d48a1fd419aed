"""Costs of a plan, in exact integers and without a forward pass.

A ``Cost`` never falls when a count rises, the only property that spending a budget exactly needs.
MACs, parameters, bytes and energy are sums of products of extents, and an extent is affine in the
counts of a plan. So each of them is one integer ``Polynomial``, and along any line of plans (one
group varying, or all that remain shrinking together) a polynomial in one variable of low degree.
Latency is measured and comes as tables (:mod:`autoprune.cost.latency`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoprune.cost.bisection import largest_that
from autoprune.structure.table import Extent, Product, Structure

Counts = NDArray[np.int64]
"""Units kept, one entry per group, in the order of ``Structure.groups``."""

EXACT: Final = 2**53
"""Below it, products and sums of integers are exact in float64, which BLAS multiplies."""

CELLS: Final = 2**21
"""Numbers that the evaluation of many plans holds at a time for each factor: 16 MiB."""


@dataclass(frozen=True)
class Cost(ABC):
    """A cost over the counts of a plan, a non-negative integer; call it to evaluate a plan.

    It must never fall when a count rises. ``sizes`` are the counts of the dense model.
    """

    groups: tuple[str, ...]
    sizes: Counts

    @abstractmethod
    def many(self, counts: Counts) -> Counts:
        """Evaluate plans given as counts [plans, groups]; returns [plans]. Counts may be 0."""

    @abstractmethod
    def along(self, counts: Counts, group: int, candidates: Counts) -> Counts:
        """Evaluate ``counts`` with each candidate [n] in place of one group's; returns [n]."""

    @abstractmethod
    def solve_fraction(self, start: Counts, direction: Counts, bound: int) -> float:
        """Return the largest x in [0, 1] with ``start + x * direction`` within ``bound``, or 0."""

    def beside(self, counts: Counts, candidates: Counts) -> Counts:
        """Evaluate ``counts`` with one group's replaced, by each of [n, groups]; returns the same.

        ``along`` for every group at once.
        """
        columns = [self.along(counts, g, column) for g, column in enumerate(candidates.T)]
        return np.stack(columns, axis=1)

    def pairs(self, counts: Counts, groups: Counts, wanted: Counts) -> Counts:
        """Evaluate ``counts`` with two groups' replaced: ``groups`` [n, 2] by ``wanted``; [n]."""
        plans = np.tile(counts, (len(groups), 1))
        np.put_along_axis(plans, groups, wanted, axis=1)
        return self.many(plans)

    @property
    def linked(self) -> NDArray[np.bool_] | None:
        """Pairs of groups [groups, groups] whose counts the cost may depend on together.

        Whatever two others save or cost adds up. None where nothing is known of it.
        """
        return None

    def at(self, counts: Counts) -> int:
        """Evaluate one plan given as counts [groups]."""
        return int(self.many(counts[None])[0])

    def __call__(self, plan: Mapping[str, int]) -> int:
        """Evaluate one plan."""
        return self.at(np.array([plan[name] for name in self.groups], np.int64))

    @cached_property
    def dense(self) -> int:
        """Cost of keeping everything."""
        return self.at(self.sizes)

    @cached_property
    def shares(self) -> NDArray[np.float64]:
        """For each group, the part of the dense cost that goes when the whole group goes, [groups].

        Two groups that meet in one product both claim it: shares may sum to more than 1.
        """
        without = np.tile(self.sizes, (len(self.sizes), 1))
        np.fill_diagonal(without, 0)
        return 1 - self.many(without) / max(self.dense, 1)


@dataclass(frozen=True)
class Polynomial(Cost):
    """A sum of products of extents.

    ``factors`` [products]; ``members`` [products, degree] picks extents; an extent e is
    ``fixed[e] + times[e] @ counts``. Shorter products are padded with an extent that is always 1.
    ``whole`` is the cost of the network as it is, where that is not the cost of keeping every unit.
    """

    factors: Counts
    members: Counts
    fixed: Counts
    times: Counts
    whole: int | None = None

    @classmethod
    def of(cls, structure: Structure, products: Iterable[Product]) -> Polynomial:
        """Compile products: constants go into the factors, equal products are merged."""
        groups = tuple(group.name for group in structure.groups)
        merged = _merge(products)
        extents = sorted({extent for key in merged for extent in key}, key=repr)
        row = {extent: index for index, extent in enumerate(extents)}
        degree = max((len(key) for key in merged), default=0)
        padded = [[row[e] for e in key] + [len(extents)] * (degree - len(key)) for key in merged]
        column = {name: index for index, name in enumerate(groups)}
        times = np.zeros((len(extents) + 1, len(groups)), np.int64)
        for index, extent in enumerate(extents):
            for name, multiplicity in extent.terms:
                times[index, column[name]] += multiplicity
        return cls(
            groups,
            np.array([group.size for group in structure.groups], np.int64),
            np.array(list(merged.values()), np.int64),
            np.array(padded, np.int64).reshape(len(merged), degree),
            np.array([extent.fixed for extent in extents] + [1], np.int64),
            times,
        )

    @cached_property
    def dense(self) -> int:
        """Cost of the network as it is."""
        return self.at(self.sizes) if self.whole is None else self.whole

    @cached_property
    def _reads(self) -> NDArray[np.bool_]:
        """Whether a product depends on a group, [products, groups]."""
        reads: NDArray[np.bool_] = (self.times != 0)[self.members].any(axis=1)
        return reads

    @cached_property
    def _readings(self) -> tuple[Counts, Counts, Counts]:
        """The products, groups [n] and slopes [n, degree] of all products that read a group."""
        products, groups = np.nonzero(self._reads)
        return products, groups, self.times[self.members[products], groups[:, None]]

    @cached_property
    def linked(self) -> NDArray[np.bool_]:
        """Pairs of groups that meet in one product."""
        reads = self._reads.astype(np.float64)
        meet: NDArray[np.bool_] = reads.T @ reads > 0
        return meet

    def at(self, counts: Counts) -> int:
        """Evaluate one plan given as counts [groups]."""
        values = self.fixed + self.times @ counts
        return int(self.factors @ values[self.members].prod(axis=1))

    def many(self, counts: Counts) -> Counts:
        """Evaluate plans given as counts [plans, groups]; returns [plans]."""
        counts = np.asarray(counts)
        rows = max(1, CELLS // max(len(self.fixed), len(self.factors), 1))
        parts = [self._many(counts[at : at + rows]) for at in range(0, len(counts), rows)]
        return np.concatenate(parts) if parts else np.zeros(0, np.int64)

    def _many(self, counts: Counts) -> Counts:
        fixed, times, factors = self._floats or (self.fixed, self.times, self.factors)
        values = times @ counts.T.astype(times.dtype) + fixed[:, None]
        total = np.repeat(factors[:, None], len(counts), axis=1)
        for column in self.members.T:
            total *= values[column]
        summed: Counts = total.sum(axis=0).astype(np.int64, copy=False)
        return summed

    @cached_property
    def _floats(self) -> tuple[NDArray[np.float64], ...] | None:
        """The polynomial in float64; None if that is not exact for every plan."""
        arrays = (self.fixed, self.times, self.factors)
        largest = (abs(self.fixed) + abs(self.times) @ self.sizes).astype(np.float64)
        total = (abs(self.factors) * largest[self.members].prod(axis=1)).sum()
        if total >= EXACT / 2:
            return None
        return tuple(array.astype(np.float64) for array in arrays)

    def line(self, start: Counts, direction: Counts) -> Counts:
        """Coefficients c [degree + 1] with ``at(start + x * direction) == sum(c[i] * x**i)``.

        Exact in integers. ``start`` may hold zeros.
        """
        constant = (self.fixed + self.times @ start)[self.members]
        slope = (self.times @ direction)[self.members]
        terms = [self.factors]
        for e in range(self.members.shape[1]):
            shifted = [term * slope[:, e] for term in terms]
            level = [term * constant[:, e] for term in terms]
            terms = [
                level[0],
                *(a + b for a, b in zip(level[1:], shifted[:-1], strict=True)),
                shifted[-1],
            ]
        return np.array([int(term.sum()) for term in terms], np.int64)

    def along(self, counts: Counts, group: int, candidates: Counts) -> Counts:
        """Evaluate ``counts`` with each candidate [n] in place of one group's; returns [n]."""
        start = counts.copy()
        start[group] = 0
        direction = np.zeros_like(counts)
        direction[group] = 1
        total = np.zeros_like(candidates)
        for coefficient in reversed(self.line(start, direction)):
            total = total * candidates + coefficient
        return total

    def beside(self, counts: Counts, candidates: Counts) -> Counts:
        """Evaluate ``counts`` with one group's replaced: products that read it change."""
        products, groups, slopes = self._readings
        values = (self.fixed + self.times @ counts)[self.members[products]]
        steps = (candidates - counts)[:, groups, None]
        changes = (values + steps * slopes).prod(axis=2) - values.prod(axis=1)
        result = np.full(candidates.shape, self.at(counts), np.int64)
        np.add.at(result.T, groups, (changes * self.factors[products]).T)
        return result

    @cached_property
    def _read_by(self) -> Counts:
        """The products that read each group, [groups, most]; -1 where there are fewer."""
        lists = [np.flatnonzero(column) for column in self._reads.T]
        table = np.full((len(lists), max(map(len, lists), default=0)), -1)
        for row, products in zip(table, lists, strict=True):
            row[: len(products)] = products
        return table

    def pairs(self, counts: Counts, groups: Counts, wanted: Counts) -> Counts:
        """Evaluate ``counts`` with two groups' replaced: products that read one of them change."""
        first, second = groups.T
        own, others = self._read_by[first], self._read_by[second]
        twice = self._reads[others, first[:, None]]  # those of the second that the first has, too
        products = np.concatenate([own, np.where(twice, -1, others)], axis=1)
        steps = wanted - counts[groups]
        before = (self.fixed + self.times @ counts)[self.members]
        after = before[products]
        for group, step in zip((first, second), steps.T, strict=True):
            slopes = self.times[self.members[products], group[:, None, None]]
            after += slopes * step[:, None, None]
        changes = (after.prod(axis=2) - before.prod(axis=1)[products]) * self.factors[products]
        total: Counts = self.at(counts) + (changes * (products >= 0)).sum(axis=1)
        return total

    def solve_fraction(self, start: Counts, direction: Counts, bound: int) -> float:
        """Return the root of the polynomial along a line; fractional units are allowed in it."""
        coefficients = self.line(start, direction).tolist()

        def within(fraction: float) -> bool:
            value = 0.0
            for coefficient in reversed(coefficients):
                value = value * fraction + coefficient
            return bool(value <= bound)

        return largest_that(within)


def _merge(products: Iterable[Product]) -> dict[tuple[Extent, ...], int]:
    merged: dict[tuple[Extent, ...], int] = {}
    for product in products:
        factor, varying = product.factor, []
        for extent in product.extents:
            if extent.terms:
                varying.append(extent)
            else:
                factor *= extent.fixed
        key = tuple(sorted(varying, key=repr))
        merged[key] = merged.get(key, 0) + factor
    return merged
