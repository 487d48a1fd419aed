"""Multiple-choice knapsack over the groups' error curves: the plan of least total error.

Every group takes one of its counts, at an error and a price (Frantar and Alistarh 2022, SPDY,
arXiv:2201.13096, section 3.1). Costs are products of neighboring widths, so a count's price
depends on the other groups: prices are computed at a plan, the knapsack is solved for them by
dynamic programming, and its plan gives the prices of the next round. Exchanges between two groups,
at true costs, then correct for rounding and for the last change of prices.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoprune.cost.bound_budget import BoundBudget
from autoprune.cost.polynomial import Counts
from autoprune.foundation.arrays import Floats
from autoprune.structure.plan import Plan

Places = NDArray[np.int64]
"""Index of the chosen count of each group among its choices, [groups]."""

BUCKETS: Final = 1024
"""Steps that the budget is divided into; exchanges correct for the rounding."""

ROUNDS: Final = 4
"""Rounds of pricing and solving."""

CHOICES: Final = 128
"""Largest number of counts per group in the knapsack, evenly spread if a group has more."""

EXCHANGES: Final = 200
"""Largest number of exchanges between two groups."""

CHUNK: Final = 32
"""Exchanges that are priced first, those that lower the error most; then twice as many, ..."""

_STEPS: Final = (1, 2, 4, 8)


def cheapest_errors(budget: BoundBudget, errors: Sequence[Floats], starts: Sequence[Plan]) -> Plan:
    """Return a plan of (nearly) least summed ``errors``, exactly on the budget.

    ``errors``: the error of each group by units kept, [size + 1] each. ``starts`` meet the budget;
    the best of them gives the first prices, and no plan with a larger sum is returned.
    """
    cost = budget.cost
    curves = [curve[choices] for curve, choices in zip(errors, budget.choices, strict=True)]
    initial = [_places(budget, budget.counts(plan)) for plan in starts]
    best = now = min(initial, key=lambda at: _total(curves, at))
    for _ in range(ROUNDS):
        proposed = _between(budget, now, _solve(budget, curves, now))
        proposed = _fill(budget, curves, proposed)
        if np.array_equal(proposed, now):
            break
        now = proposed
        best = min(best, now, key=lambda at: _total(curves, at))
    return cost.plan(_counts(budget, _exchange(budget, curves, best)))


def _counts(budget: BoundBudget, places: Places) -> Counts:
    """Return the counts at places [..., groups] of the groups' choices."""
    return np.stack([c[places[..., g]] for g, c in enumerate(budget.choices)], axis=-1)


def _places(budget: BoundBudget, counts: Counts) -> Places:
    """Return the places of counts [groups] among the groups' choices."""
    places = [np.searchsorted(c, k) for c, k in zip(budget.choices, counts, strict=True)]
    return np.array(places, np.int64)


def _total(curves: Sequence[Floats], places: Places) -> float:
    return float(sum(curve[at] for curve, at in zip(curves, places, strict=True)))


def _fits(budget: BoundBudget, places: Places) -> NDArray[np.bool_]:
    """Whether each plan of [plans, groups] meets every limit, [plans]."""
    counts = _counts(budget, places)
    good = np.ones(len(counts), bool)
    for constraint in budget.constraints:
        good &= constraint.cost.many(counts) <= constraint.bound
    return good


def _solve(budget: BoundBudget, curves: Sequence[Floats], now: Places) -> Places:
    """Solve the knapsack at the prices of the plan ``now``; return places [groups]."""
    offered = [np.unique(np.linspace(0, len(c) - 1, CHOICES).astype(np.int64)) for c in curves]
    prices, capacity = _prices(budget, offered, now)
    left = np.full(BUCKETS + 1, 0.0)  # least error of the groups so far, by buckets spent at most
    taken = []
    for curve, offer, price in zip(curves, offered, prices, strict=True):
        need = np.ceil(price / capacity * BUCKETS - 1e-9).astype(np.int64)
        table = np.full((len(offer), BUCKETS + 1), np.inf)
        for row, (at, buckets) in enumerate(zip(offer, need, strict=True)):
            if buckets <= BUCKETS:
                table[row, buckets:] = left[: BUCKETS + 1 - buckets] + curve[at]
        chosen = table.argmin(axis=0)
        left = table[chosen, np.arange(BUCKETS + 1)]
        taken.append((chosen, need))
    bucket, places = BUCKETS, []
    for offer, (chosen, need) in zip(reversed(offered), reversed(taken), strict=True):
        row = chosen[bucket]
        places.append(offer[row])
        bucket -= need[row]
    return np.array(places[::-1], np.int64)


def _prices(
    budget: BoundBudget, offered: Sequence[Places], now: Places
) -> tuple[list[Floats], float]:
    """Return the price of every offered place above the group's least, and the amount to spend.

    As shares of the limits, summed over those that are tight at ``now``.
    """
    counts = _counts(budget, now)
    costs = [constraint.cost.at(counts) / constraint.bound for constraint in budget.constraints]
    tight = [i for i, c in zip(budget.constraints, costs, strict=True) if c >= max(costs) - 0.02]
    spent = sum(constraint.cost.at(counts) / constraint.bound for constraint in tight)
    prices, capacity = [], len(tight) - spent
    for group, offer in enumerate(offered):
        wanted = budget.choices[group][offer]
        price = np.zeros(len(wanted))
        for constraint in tight:
            price += constraint.cost.along(counts, group, wanted) / constraint.bound
        prices.append(np.maximum.accumulate(price - price[0]))
        capacity += spent - price[0]
    return prices, max(float(capacity), 1e-12)


def _between(budget: BoundBudget, good: Places, wanted: Places) -> Places:
    """Return the plan closest to ``wanted`` that fits, on the line from one that does."""
    share = np.linspace(1, 0, 33)[:, None]
    line = np.rint(good + share * (wanted - good)).astype(np.int64)
    closest: Places = line[int(np.argmax(_fits(budget, line)))]
    return closest


def _fill(budget: BoundBudget, curves: Sequence[Floats], places: Places) -> Places:
    """Add the step with the largest decrease in error per price, until none fits."""
    names = {group.name: g for g, group in enumerate(budget.cost.structure.groups)}
    top = np.array([len(curve) - 1 for curve in curves])
    steps = np.minimum(places + np.eye(len(places), dtype=np.int64), top)
    if not (_fits(budget, steps) & (places < top)).any():
        return places
    counts = _counts(budget, places)
    worth = []
    for group, (curve, choices) in enumerate(zip(curves, budget.choices, strict=True)):
        price = sum(c.cost.along(counts, group, choices) / c.bound for c in budget.constraints)
        rise = np.maximum(np.diff(np.asarray(price, np.float64)), 1e-12)
        worth.append(dict(zip(choices.tolist(), (np.diff(curve) / rise).tolist(), strict=False)))

    def priority(name: str, count: int) -> float:
        return float(worth[names[name]][count])

    filled = budget.counts(budget.top_up(budget.cost.plan(counts), priority))
    return _places(budget, filled)


def _exchange(budget: BoundBudget, curves: Sequence[Floats], places: Places) -> Places:
    """Move steps from one group to another as long as that lowers the error."""
    unsure, table = _unsure(budget), _table(budget)
    for _ in range(EXCHANGES):
        changes = _changes(curves, places)
        changes[_too_much(budget, places)] = np.inf
        moved = _first_that_fits(budget, places, changes, unsure, table)
        if moved is None:
            return places
        places = _fill(budget, curves, moved)
    return places


def _changes(curves: Sequence[Floats], places: Places) -> Floats:
    """Return by how much each exchange changes the error, [up, down, give, take].

    ``give`` gains ``_STEPS[up]`` places, ``take`` loses ``_STEPS[down]``; infinity where it cannot.
    """
    rises = np.array([_moves(curves, places, step) for step in _STEPS])
    falls = np.array([_moves(curves, places, -step) for step in _STEPS])
    changes: Floats = rises[:, None, :, None] + falls[None, :, None, :]
    changes[:, :, range(len(places)), range(len(places))] = np.inf
    return changes


def _moves(curves: Sequence[Floats], places: Places, step: int) -> Floats:
    """Return by how much a step of each group changes its error, [groups]."""
    return np.array(
        [
            curve[at + step] - curve[at] if 0 <= at + step < len(curve) else np.inf
            for curve, at in zip(curves, places.tolist(), strict=True)
        ]
    )


def _too_much(budget: BoundBudget, places: Places) -> NDArray[np.bool_]:
    """Whether an exchange is known to break a limit, [up, down, give, take].

    Where the costs of two groups add up, that of every exchange follows from single steps.
    """
    groups, number = len(places), len(_STEPS)
    counts = _counts(budget, places)
    top = np.array([len(choices) - 1 for choices in budget.choices])
    ways = np.array([*_STEPS, *(-step for step in _STEPS)])[:, None]
    reached = _counts(budget, np.clip(places + ways, 0, top))
    broken = np.zeros((number, number, groups, groups), bool)
    for constraint in budget.constraints:
        cost, linked = constraint.cost, constraint.cost.linked
        if linked is None:
            continue
        stepped = cost.beside(counts, reached)
        rises, falls, now = stepped[:number], stepped[number:], cost.at(counts)
        together = rises[:, None, :, None] + (falls - now)[None, :, None, :]
        broken |= (together > constraint.bound) & ~linked
    return broken


def _unsure(budget: BoundBudget) -> NDArray[np.bool_]:
    """Pairs of groups [groups, groups] whose exchanges must be priced: their costs do not add up.

    Of the others, those that :func:`_too_much` lets pass fit.
    """
    groups = len(budget.choices)
    unsure = np.zeros((groups, groups), bool)
    for constraint in budget.constraints:
        linked = constraint.cost.linked
        unsure |= True if linked is None else linked
    return unsure


def _first_that_fits(
    budget: BoundBudget,
    places: Places,
    changes: Floats,
    unsure: NDArray[np.bool_],
    table: Counts,
) -> Places | None:
    """Return the plan of the exchange that lowers the error most and fits, None if none does.

    Few of them have to be priced: they are sorted, and priced where ``unsure``, a chunk at a time.
    """
    flat = changes.ravel()
    better = np.flatnonzero(flat < -1e-12)
    chunk = CHUNK
    while len(better):
        values = flat[better]
        last = np.partition(values, chunk - 1)[chunk - 1] if len(better) > chunk else np.inf
        now = better[values <= last]
        now = now[np.argsort(flat[now], kind="stable")]
        good = ~unsure.ravel()[now % unsure.size]
        if not good[0]:
            good[~good] = _exchanges_fit(budget, places, now[~good], changes.shape, table)
        if good.any():
            found: Places = _moved(places, now[[int(np.argmax(good))]], changes.shape)[0]
            return found
        better, chunk = better[values > last], 2 * chunk
    return None


def _table(budget: BoundBudget) -> Counts:
    """Return the choices of every group, [groups, most]; 0 where there are fewer."""
    table = np.zeros((len(budget.choices), max(map(len, budget.choices))), np.int64)
    for row, choices in zip(table, budget.choices, strict=True):
        row[: len(choices)] = choices
    return table


def _exchanges_fit(
    budget: BoundBudget,
    places: Places,
    exchanges: Places,
    shape: tuple[int, ...],
    table: Counts,
) -> NDArray[np.bool_]:
    """Whether the plan after each exchange, an index into changes of ``shape``, fits."""
    up, down, give, take = np.unravel_index(exchanges, shape)
    groups, steps = np.stack([give, take], axis=1), np.array(_STEPS)
    reached = places[groups] + np.stack([steps[up], -steps[down]], axis=1)
    counts, wanted = table[np.arange(len(places)), places], table[groups, reached]
    good = np.ones(len(exchanges), bool)
    for constraint in budget.constraints:
        good &= constraint.cost.pairs(counts, groups, wanted) <= constraint.bound
    return good


def _moved(places: Places, exchanges: Places, shape: tuple[int, ...]) -> Places:
    """Return one plan for each exchange, an index into changes of ``shape``."""
    up, down, give, take = np.unravel_index(exchanges, shape)
    steps, rows = np.array(_STEPS), np.arange(len(exchanges))
    moved = np.tile(places, (len(exchanges), 1))
    moved[rows, give] += steps[up]
    moved[rows, take] -= steps[down]
    return moved
