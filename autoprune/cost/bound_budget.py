"""Budget bound to a model: the arithmetic that spends it exactly."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from autoprune.cost.bisection import largest_that
from autoprune.cost.choices import allowed_counts
from autoprune.cost.constraint import Constraint
from autoprune.cost.model import CostModel
from autoprune.cost.polynomial import Counts
from autoprune.errors import InfeasibleError
from autoprune.structure.plan import Plan
from autoprune.structure.table import BRANCH


@dataclass(frozen=True)
class BoundBudget:
    """A budget bound to a model: the counts that a group may keep, given the decisions so far.

    Walking the groups in order and choosing inside ``interval`` never exceeds the budget, and ends
    where the last group that lost units could not take one more step: the cost of at least one
    constraint lies in (bound - one quantum, bound], a quantum being what one step of a group costs:
    ``steps`` units. Every plan that no step can be added to is reachable by such a walk.
    ``name``: the budget as the user wrote it. ``ceiling``: most units of every group; the groups'
    sizes, if empty. ``floor``: least units.
    """

    name: str
    cost: CostModel
    constraints: tuple[Constraint, ...]
    steps: tuple[int, ...]
    ceiling: tuple[int, ...] = ()
    floor: tuple[int, ...] = ()

    @property
    def kept_by(self) -> str:
        """Words on a floor, for messages; empty without one."""
        return "with what --keep and --only leave, " if max(self.floor, default=1) > 1 else ""

    def partial(self, share: float, ceiling: Mapping[str, int]) -> BoundBudget:
        """Return the budget after a ``share`` in (0, 1] of the pruning, with a plan as ceiling.

        A limit to the fraction f of the dense cost becomes one to f**share. Equal steps of the
        share thus prune the same fraction of what is left each time.
        """
        constraints = tuple(
            replace(
                constraint,
                bound=max(
                    constraint.bound, int(constraint.cost.dense * constraint.fraction**share)
                ),
            )
            if share < 1
            else constraint
            for constraint in self.constraints
        )
        most = tuple(int(count) for count in self.cost.counts(ceiling))
        return replace(self, constraints=constraints, ceiling=most)

    @cached_property
    def limits(self) -> dict[str, int]:
        """Largest allowed cost by name, as ``macs`` or ``latency``."""
        return {constraint.limit.cost: constraint.bound for constraint in self.constraints}

    @cached_property
    def fractions(self) -> dict[str, float]:
        """The limits as fractions of the dense cost, at most 1."""
        return {constraint.limit.cost: constraint.fraction for constraint in self.constraints}

    @cached_property
    def choices(self) -> tuple[Counts, ...]:
        """Allowed counts of each group, ascending: multiples of its step, and the group's size."""
        groups = self.cost.structure.groups
        return tuple(
            choices[(choices >= least) & (choices <= most)]
            for choices, least, most in zip(
                allowed_counts(groups, self.steps),
                self.floor or (0,) * len(groups),
                self.ceiling or tuple(group.size for group in groups),
                strict=True,
            )
        )

    @cached_property
    def quantum(self) -> float:
        """Most that one step of a group's width costs, as a part of the dense cost of a limit.

        Taken from the dense network, where a step costs most: what may be left of a budget.
        """
        most = 0.0
        for group, choices in enumerate(self.choices):
            if self.cost.structure.groups[group].kind == BRANCH or len(choices) < 2:
                continue
            for one in self.constraints:
                costs = one.cost.along(self.largest, group, choices)
                most = max(most, float(np.diff(costs).max()) / one.cost.dense)
        return most

    def without(self, gone: Collection[str]) -> BoundBudget:
        """Return the budget of the plans that take out the branches ``gone``, and no others.

        What is decided already stays so.
        """
        structure = self.cost.structure
        least, most = self.smallest.copy(), self.largest.copy()
        place = {name: index for index, name in enumerate(structure.sizes)}
        for branch in structure.branches if self._branches else ():  # outer ones first
            own = place[branch.name]
            least[own] = most[own] = np.clip(branch.name not in gone, least[own], most[own])
            if any(not most[place[name]] for name in branch.outer):
                least[own] = most[own] = 1  # it goes, and comes back, with what it is part of
            elif not most[own]:
                for name in branch.groups:
                    least[place[name]] = most[place[name]]
        return replace(self, floor=tuple(map(int, least)), ceiling=tuple(map(int, most)))

    @cached_property
    def _branches(self) -> list[int]:
        groups = enumerate(self.cost.structure.groups)
        return [place for place, group in groups if group.kind == BRANCH]

    @cached_property
    def undivided(self) -> BoundBudget:
        """The budget of the plans that take out no branch, or the fewest that have to go.

        Those that save the most of what is too much go first.
        """
        gone: list[str] = []
        branches = [group.name for group in self.cost.structure.groups if group.kind == BRANCH]
        bound = self.without(gone)
        while branches and not bound.fits(bound.smallest):
            saved = {name: self.without([*gone, name]) for name in branches}
            name = min(branches, key=lambda one: saved[one].excess(saved[one].smallest))
            branches.remove(name)
            gone.append(name)
            bound = saved[name]
        return bound

    def counts(self, plan: Mapping[str, int]) -> Counts:
        """Return the counts of a plan [groups], the largest of what goes with a branch."""
        counts = self.cost.counts(plan)
        kept = np.fromiter((plan[name] for name in self.cost.structure.sizes), np.int64)
        return np.where((counts > 0) & (kept == 0), self.largest, counts)

    def excess(self, counts: Counts) -> float:
        """Return the cost of counts [groups] over the bound of the limit that is missed most."""
        return max((one.cost.at(counts) / one.bound for one in self.constraints), default=0.0)

    @cached_property
    def smallest(self) -> Counts:
        """Least allowed count of every group, [groups]."""
        return np.array([choices[0] for choices in self.choices], np.int64)

    @cached_property
    def largest(self) -> Counts:
        """Most allowed count of every group, [groups]."""
        return np.array([choices[-1] for choices in self.choices], np.int64)

    def fits(self, counts: Counts) -> bool:
        """Whether counts [groups] meet every limit."""
        return all(
            constraint.cost.at(counts) <= constraint.bound for constraint in self.constraints
        )

    def met(self, plan: Mapping[str, int]) -> bool:
        """Whether a plan meets every limit."""
        return self.fits(self.cost.counts(plan))

    def check(self, plan: Mapping[str, int]) -> None:
        """Raise InfeasibleError, naming it, if a plan misses a limit or a floor."""
        counts = self.cost.counts(plan)
        for constraint in self.constraints:
            if constraint.cost.at(counts) > constraint.bound:
                fraction = constraint.cost.at(counts) / constraint.cost.dense
                raise InfeasibleError(
                    f"the plan does not meet {constraint.limit}: it costs {fraction:.4g} of the"
                    f" dense {constraint.limit.cost}",
                    "keep less, or ask for a larger budget",
                )
        for group, count, least in zip(
            self.cost.structure.groups, counts, self.smallest, strict=True
        ):
            if count < least:
                raise InfeasibleError(
                    f"the plan keeps {count} of the {group.size} units of {group.name!r}, and at"
                    f" least {least} are to stay",
                    "plan and --keep, --only or --align disagree",
                )

    def interval(self, prefix: Sequence[int]) -> tuple[int, int]:
        """Return the least and most units (lo, hi) that the group after ``prefix`` may keep.

        ``hi``: most units with which the rest still fits at its smallest. ``lo``: most units with
        which the rest still fits whole, since keeping fewer would waste budget.
        """
        group = len(prefix)
        return (
            self._most(np.concatenate((prefix, self.largest[group:])).astype(np.int64), group),
            self._most(np.concatenate((prefix, self.smallest[group:])).astype(np.int64), group),
        )

    def uniform_rest(self, prefix: Sequence[int]) -> float:
        """Return the keep fraction of all remaining groups that spends the budget, in [0, 1].

        Fractional units are allowed in it; the tightest constraint decides. Branches count whole.
        """
        start, direction = np.zeros_like(self.largest), self.largest.copy()
        start[self._branches] = self.undivided.largest[self._branches]
        direction[self._branches] = 0
        start[: len(prefix)] = prefix
        direction[: len(prefix)] = 0
        return min(
            (
                constraint.cost.solve_fraction(start, direction, constraint.bound)
                for constraint in self.constraints
            ),
            default=1.0,
        )

    def round_count(self, group: int, units: float, lo: int, hi: int) -> int:
        """Return the allowed count of a group nearest to ``units`` (ties go up) within [lo, hi]."""
        choices = self.choices[group]
        choices = choices[np.searchsorted(choices, lo) : np.searchsorted(choices, hi, "right")]
        above = min(int(np.searchsorted(choices, units)), len(choices) - 1)
        below = max(above - 1, 0)
        closer = units - choices[below] < choices[above] - units
        return int(choices[below if closer else above])

    def nearest(self, units: Iterable[float]) -> Counts:
        """Return the allowed count of every group nearest to ``units``, both [groups]."""
        return np.array(
            [
                self.round_count(group, float(wanted), int(choices[0]), int(choices[-1]))
                for group, (wanted, choices) in enumerate(zip(units, self.choices, strict=True))
            ],
            np.int64,
        )

    def uniform(self) -> Plan:
        """Return the plan that keeps the same, largest fraction of every group, then topped up.

        Branches stay, unless the budget is out of reach with them.
        """
        return self.undivided._uniform

    @cached_property
    def _uniform(self) -> Plan:
        if self.fits(self.largest):
            return self.cost.plan(self.largest)
        sizes = np.array(list(self.cost.structure.sizes.values()), np.float64)
        fraction = largest_that(lambda fraction: self.fits(self.nearest(fraction * sizes)))
        return self.top_up(self.cost.plan(self.nearest(fraction * sizes)))

    def top_up(
        self, plan: Mapping[str, int], priority: Callable[[str, int], float] | None = None
    ) -> Plan:
        """Add steps of single groups until none fits any more.

        ``priority(group, count)`` says what goes first (least first) of the groups that could grow
        from ``count``; by default the one that keeps the smallest fraction. Raises ValueError if
        the plan is over the budget or keeps a count that is not allowed.
        """
        counts = self.counts(plan)
        names = [group.name for group in self.cost.structure.groups]
        if not self.fits(counts):
            raise ValueError("a plan over the budget cannot be topped up")
        if not all(k in choices for k, choices in zip(counts, self.choices, strict=True)):
            raise ValueError("the plan keeps counts that are no multiples of the steps")

        def rank(group: int) -> float:
            count = int(counts[group])
            return priority(names[group], count) if priority else count / self.largest[group]

        growing = [g for g in range(len(names)) if counts[g] < self.largest[g]]
        ranks = {group: rank(group) for group in growing}
        while growing:
            group = min(growing, key=ranks.__getitem__)
            choices, before = self.choices[group], counts[group]
            counts[group] = choices[np.searchsorted(choices, before) + 1]
            if not self.fits(counts):
                counts[group] = before
            # A step that does not fit now never will: costs only rise.
            if counts[group] in (before, choices[-1]):
                growing.remove(group)
            else:
                ranks[group] = rank(group)
        return self.cost.plan(counts)

    def _most(self, counts: Counts, group: int) -> int:
        choices = self.choices[group]
        last = len(choices)
        for constraint in self.constraints:
            costs = constraint.cost.along(counts, group, choices[:last])
            last = int(np.searchsorted(costs, constraint.bound, "right"))
        return int(choices[max(last - 1, 0)])
