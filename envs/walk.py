"""Walk over a network's groups, as pure functions on frozen values.

``initial``, ``observe``, ``transition``, ``terminal``, ``step_reward``. One step decides one group,
in execution order. An action is a position in the interval that the budget leaves to the group, so
every action is feasible and the action stored is the action executed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoprune.cost.bound_budget import BoundBudget
from autoprune.envs.features import GROUP_ENTRIES, at_fractions, group_features, squash
from autoprune.envs.lagrangian import LagrangianPlanner
from autoprune.foundation.arrays import Floats
from autoprune.problem.problem import PruningProblem
from autoprune.structure.plan import Plan

Observation = NDArray[np.float32]

VERSION: Final = 3
"""Version of the observation's entries and their meaning; a policy only runs on its own version."""

_GRID: Final = 64

_SEEN: Final = 1 << 13
"""Most prefixes that are remembered, about a kilobyte each."""

ENTRIES: Final[Mapping[str, str]] = {
    **GROUP_ENTRIES,
    "depth": "groups decided over all groups, [0, 1]",
    "budget": "least limit over its dense cost, whatever its unit, [0, 1]",
    "rest": "keep fraction of all undecided groups that spends the budget exactly, [0, 1]",
    "slack": "place of the budget between the cost of the least and the most to come, [0, 1]",
    "low": "least the group may keep, of its size, [0, 1]",
    "middle": "what action 0 keeps, of the group's size, [0, 1]",
    "high": "most the group may keep, of its size, [0, 1]",
    "guided": "action that keeps what the error curves alone suggest from here on, [-1, 1]",
    "error_here": "squashed error of the group at ``middle``, [0, 1]",
    "error_rest": "squashed mean error of all undecided groups at ``rest``, [0, 1]",
    "error_so_far": "squashed mean error of the decided groups, [0, 1]",
    "previous_action": "the action taken one step before, 0 at the first, [-1, 1]",
}
"""Name and meaning of every entry of the observation, in order; "the group" is the next to decide.

An error e, which may exceed 1, is squashed to sqrt(e / (1 + e)).
"""


@dataclass(frozen=True)
class WalkContext:
    """Constants of a walk: the budget and the data of every group.

    ``own`` [groups, entries]: the static part of the observation. ``errors``: for each group its
    error by count, [size + 1]. ``grid`` [groups, 65]: the same by keep fraction in 64ths.
    ``planner``: planner of the plan of least error.
    """

    budget: BoundBudget
    own: NDArray[np.float32]
    errors: tuple[Floats, ...]
    grid: Floats
    planner: LagrangianPlanner

    @classmethod
    def of(cls, problem: PruningProblem, errors: Sequence[Floats] | None = None) -> WalkContext:
        """Collect the constants of a problem; ``errors`` replaces its error curves."""
        errors = tuple(errors or curves(problem))
        fractions = np.linspace(0, 1, _GRID + 1)
        grid = np.array([at_fractions(curve, fractions) for curve in errors]).reshape(-1, _GRID + 1)
        planner = LagrangianPlanner.of(problem.budget, errors)
        return cls(problem.budget, group_features(problem, errors), errors, grid, planner)

    @cached_property
    def seen(self) -> dict[tuple[int, ...], tuple[State, Observation]]:
        """What is known of the prefixes that walks went through, without the last action.

        Walks are imagined around each other, so many share their first groups.
        """
        return {}

    @property
    def length(self) -> int:
        """Steps of a walk: the number of groups."""
        return len(self.errors)

    def error(self, kept: tuple[int, ...]) -> float:
        """Sum of the errors of the first groups when they keep ``kept``."""
        return float(sum(curve[k] for curve, k in zip(self.errors, kept, strict=False)))


@dataclass(frozen=True)
class State:
    """State of a walk: the counts decided so far, and what the next group may keep.

    ``kept``: counts of the decided groups. ``low``, ``middle``, ``high``: what actions -1, 0 and +1
    would keep of the next; ``middle`` may be fractional. ``rest``: keep fraction of all undecided
    groups that spends the budget. ``previous``: the last action.
    """

    kept: tuple[int, ...]
    low: int
    middle: float
    high: int
    rest: float
    previous: float

    @property
    def group(self) -> int:
        """Index of the group about to be decided."""
        return len(self.kept)


def curves(problem: PruningProblem) -> tuple[Floats, ...]:
    """Return the error of each group by count, [size + 1] each."""
    errors = problem.ranking.errors
    return tuple(np.asarray(errors[group.name], np.float64) for group in problem.structure.groups)


def initial(context: WalkContext) -> State:
    """Return the state before the first group."""
    return _state(context, (), 0.0)


def terminal(context: WalkContext, state: State) -> bool:
    """Whether every group is decided."""
    return len(state.kept) == context.length


def count_for(context: WalkContext, state: State, action: float) -> int:
    """Units that ``action`` in [-1, 1] keeps: linear from low to middle to high, then rounded."""
    if action < 0:
        units = state.low + (1 + action) * (state.middle - state.low)
    else:
        units = state.middle + action * (state.high - state.middle)
    return context.budget.round_count(state.group, units, state.low, state.high)


def action_for(state: State, count: int) -> float:
    """Return the action that keeps ``count``: the inverse of ``count_for``.

    Raises ValueError if the budget does not leave that count to the group.
    """
    if not state.low <= count <= state.high:
        raise ValueError(f"{count} is not in the interval [{state.low}, {state.high}]")
    return _position(state, count)


def planner_action(planner: LagrangianPlanner, state: State) -> float:
    """Return the action that keeps what a planner suggests for the next group."""
    units = planner.units(state.kept)
    return _position(state, min(max(units, state.low), state.high))


def transition(context: WalkContext, state: State, action: float) -> State:
    """Decide the next group; the result's ``previous`` is the action itself."""
    kept = (*state.kept, count_for(context, state, action))
    return _state(context, kept, action)


def step_reward(
    context: WalkContext, before: State, after: State, earned: float = 0.0, shaping: bool = False
) -> float:
    """Return the reward of one step: ``earned`` by the plan it completed, plus the shaping.

    The shaping is the difference of a potential, 0 at both ends of a walk: minus the mean error of
    all groups, undecided ones counted as whole. It charges a decision at once and leaves the sum
    over any walk unchanged (Ng, Harada and Russell 1999, theorem 1, gamma 1). Raises ValueError if
    the reward is not finite.
    """
    value = earned
    if shaping:
        value += _potential(context, after) - _potential(context, before)
    if not math.isfinite(value):
        raise ValueError(f"a reward must be finite, not {value}")
    return value


def plan_of(context: WalkContext, state: State) -> Plan:
    """Return the plan of a terminal state."""
    return context.budget.cost.plan(state.kept)


def walk_to(context: WalkContext, plan: Mapping[str, int]) -> list[tuple[State, float]]:
    """Return the states and actions of the walk that ends in ``plan``.

    Raises ValueError if no walk does: the plan exceeds the budget or wastes some of it.
    """
    state, steps = initial(context), []
    for count in context.budget.counts(plan):
        action = action_for(state, int(count))
        steps.append((state, action))
        state = transition(context, state, action)
    return steps


def observe(context: WalkContext, state: State) -> Observation:
    """Return the observation of the group about to be decided, float32 [len(ENTRIES)].

    ``ENTRIES`` has the ranges. After the last group, the group's own entries are 0.
    """
    observation = _known(context, state.kept)[1].copy()
    observation[-1] = state.previous
    return observation


def _known(context: WalkContext, kept: tuple[int, ...]) -> tuple[State, Observation]:
    """Return the state after ``kept`` and its observation, for a last action of 0."""
    if kept not in context.seen:
        if len(context.seen) >= _SEEN:
            context.seen.clear()
        state = _decided(context, kept)
        context.seen[kept] = state, _observed(context, state)
    return context.seen[kept]


def _observed(context: WalkContext, state: State) -> Observation:
    budget, group = context.budget, state.group
    tightest = min(budget.fractions.values(), default=1.0)
    shared = [group / context.length, tightest, state.rest]
    so_far = squash(context.error(state.kept) / max(group, 1))
    if group == context.length:
        tail = [0.0] * 7 + [so_far, state.previous]
        return np.array([0.0] * len(GROUP_ENTRIES) + shared + tail, np.float32)
    column = round(state.rest * _GRID)
    size = len(context.errors[group]) - 1
    tail = [
        _slack(budget, state.kept),
        state.low / size,
        state.middle / size,
        state.high / size,
        planner_action(context.planner, state),
        squash(float(context.grid[group, round(state.middle / size * _GRID)])),
        squash(float(context.grid[group:, column].mean())),
        so_far,
        state.previous,
    ]
    return np.concatenate((context.own[group], np.array(shared + tail, np.float32)))


def _state(context: WalkContext, kept: tuple[int, ...], previous: float) -> State:
    return replace(_known(context, kept)[0], previous=previous)


def _decided(context: WalkContext, kept: tuple[int, ...]) -> State:
    budget = context.budget
    if len(kept) == context.length:
        return State(kept, 0, 0.0, 0, 0.0, 0.0)
    low, high = budget.interval(kept)
    rest = budget.uniform_rest(kept)
    middle = min(max(rest * float(budget.largest[len(kept)]), low), high)
    return State(kept, low, middle, high, rest, 0.0)


def _position(state: State, units: float) -> float:
    """Position of ``units`` in the interval of the state, [-1, 1], 0 for ``middle``."""
    if units < state.middle:
        return (units - state.middle) / (state.middle - state.low)
    span = state.high - state.middle
    return (units - state.middle) / span if span else 0.0


def _potential(context: WalkContext, state: State) -> float:
    return 0.0 if terminal(context, state) else -context.error(state.kept) / context.length


def _slack(budget: BoundBudget, kept: tuple[int, ...]) -> float:
    group, places = len(kept), [1.0]
    least = np.array([*kept, *budget.smallest[group:]], np.int64)
    most = np.array([*kept, *budget.largest[group:]], np.int64)
    for constraint in budget.constraints:
        low, high = constraint.cost.at(least), constraint.cost.at(most)
        if high > constraint.bound:
            places.append((constraint.bound - low) / (high - low))
    return min(places)
