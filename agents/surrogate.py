"""Walks that cost milliseconds: what they earn is foretold, not evaluated.

An exercise is a network at a budget and how much its groups' errors are believed to matter. A walk
earns what it leaves less of that damage than the error curves' own plan does: so rewards compare
between networks and budgets.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from autoprune.agents.rollouts import Act, Walk, roll
from autoprune.envs.lagrangian import Guide
from autoprune.envs.walk import (
    ENTRIES,
    Observation,
    WalkContext,
    initial,
    observe,
    terminal,
    transition,
)

Floats = NDArray[np.float64]

WORST: Final = -5.0
"""Least reward: how bad a walk was beyond that teaches nothing."""


@dataclass(frozen=True, eq=False)
class Exercise:
    """A context, and the damage by group and count, [size + 1] for each group.

    The error curves' own plan leaves ``own``. What is ``unit`` less than that earns 1: the distance
    of the uniform plan, but at least a tenth of ``own``.
    """

    context: WalkContext
    damage: Sequence[Floats]
    own: float
    unit: float

    @classmethod
    def of(cls, context: WalkContext, damage: Sequence[Floats]) -> Self:
        """Set an exercise."""
        budget = context.budget
        plans = (context.guide.counts, budget.cost.counts(budget.uniform()))
        own, uniform = (_total(damage, counts) for counts in plans)
        return cls(context, damage, own, max(abs(uniform - own), 0.1 * own, 1e-9))

    def reward(self, kept: Iterable[int]) -> float:
        """Return what a walk earns that ends in these counts: 0 as the error curves' own plan."""
        return max((self.own - _total(self.damage, kept)) / self.unit, WORST)

    def returns(self, walks: Sequence[Walk]) -> Floats:
        """Return what each of several walks earns, [walks]."""
        return np.array([self.reward(walk.kept) for walk in walks])


class Exercises(gymnasium.Env[Observation, NDArray[np.float32]]):
    """Walks one exercise after another, each drawn by chance; spaces as in ``LayerPruning``."""

    metadata: dict[str, Any] = {  # noqa: RUF012 - gymnasium declares it per instance
        "render_modes": []
    }

    def __init__(self, exercises: Sequence[Exercise]) -> None:
        self.exercises, self.now = exercises, exercises[0]
        self.state = initial(self.now.context)
        self.observation_space = spaces.Box(-1.0, 1.0, (len(ENTRIES),), np.float32)
        self.action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Draw an exercise and start its walk; there are no options."""
        super().reset(seed=seed, options=options)
        self.now = self.exercises[int(self.np_random.integers(len(self.exercises)))]
        self.state = initial(self.now.context)
        return observe(self.now.context, self.state), {}

    def step(
        self, action: NDArray[np.float32]
    ) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Decide the next group; the last step earns the reward."""
        context = self.now.context
        self.state = transition(context, self.state, float(action[0]))
        over = terminal(context, self.state)
        earned = self.now.reward(self.state.kept) if over else 0.0
        return observe(context, self.state), earned, over, False, {}


def examine(act: Act, exercises: Sequence[Exercise]) -> float:
    """Return the mean reward of the walks that ``act`` takes, one for each exercise."""
    walks = [roll(each.context, lambda _, seen: act(seen), 1) for each in exercises]
    pairs = zip(exercises, walks, strict=True)
    return float(np.mean([each.returns(walk)[0] for each, walk in pairs]))


def planned(exercises: Sequence[Exercise]) -> float:
    """Return the mean reward of the plans that are (nearly) best for the damage foretold."""
    plans = (Guide.of(each.context.budget, each.damage).counts for each in exercises)
    pairs = zip(exercises, plans, strict=True)
    return float(np.mean([each.reward(counts) for each, counts in pairs]))


def _total(damage: Sequence[Floats], counts: Iterable[int]) -> float:
    return float(sum(curve[count] for curve, count in zip(damage, counts, strict=True)))
