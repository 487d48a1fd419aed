"""Surrogate environment: rollouts are scored by predicted damage, without running the network.

A surrogate problem is a network at a budget with the predicted damage of its groups. A rollout's
reward is the reduction in damage relative to the plan of least error, so rewards are comparable
between networks and budgets. A rollout takes milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from autoprune.agents.rollouts import Act, Walk, roll_out
from autoprune.envs.lagrangian import LagrangianPlanner
from autoprune.envs.walk import (
    ENTRIES,
    Observation,
    WalkContext,
    initial,
    observe,
    terminal,
    transition,
)
from autoprune.foundation.arrays import Floats

WORST: Final = -5.0
"""Least reward; how much worse a rollout was beyond that carries no information."""


@dataclass(frozen=True, eq=False)
class SurrogateProblem:
    """A context, and its predicted damage by group and count, [size + 1] for each group.

    ``reference``: damage of the plan of least error, whose reward is 0. ``unit``: reduction in
    damage that earns a reward of 1, the distance of the uniform plan from the reference but at
    least a tenth of the reference.
    """

    context: WalkContext
    damage: Sequence[Floats]
    reference: float
    unit: float

    @classmethod
    def of(cls, context: WalkContext, damage: Sequence[Floats]) -> Self:
        """Compute reference and unit from the damage."""
        budget = context.budget
        plans = (context.planner.counts, budget.counts(budget.uniform()))
        reference, uniform = (_total(damage, counts) for counts in plans)
        return cls(context, damage, reference, max(abs(uniform - reference), 0.1 * reference, 1e-9))

    def reward(self, kept: Iterable[int]) -> float:
        """Return the reward of a rollout that ends in these counts."""
        return max((self.reference - _total(self.damage, kept)) / self.unit, WORST)

    def returns(self, walks: Sequence[Walk]) -> Floats:
        """Return the rewards of several rollouts, [walks]."""
        return np.array([self.reward(walk.kept) for walk in walks])


class SurrogateEnv(gymnasium.Env[Observation, NDArray[np.float32]]):
    """Episodes on randomly drawn surrogate problems; spaces as in ``LayerPruning``."""

    metadata: dict[str, Any] = {  # noqa: RUF012 - gymnasium declares it per instance
        "render_modes": []
    }

    def __init__(self, problems: Sequence[SurrogateProblem]) -> None:
        self.problems, self.current = problems, problems[0]
        self.state = initial(self.current.context)
        self.observation_space = spaces.Box(-1.0, 1.0, (len(ENTRIES),), np.float32)
        self.action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Draw a problem and start its walk; there are no options."""
        super().reset(seed=seed, options=options)
        self.current = self.problems[int(self.np_random.integers(len(self.problems)))]
        self.state = initial(self.current.context)
        return observe(self.current.context, self.state), {}

    def step(
        self, action: NDArray[np.float32]
    ) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Decide the next group; the last step earns the reward."""
        context = self.current.context
        self.state = transition(context, self.state, float(action[0]))
        over = terminal(context, self.state)
        earned = self.current.reward(self.state.kept) if over else 0.0
        return observe(context, self.state), earned, over, False, {}


def mean_reward(act: Act, problems: Sequence[SurrogateProblem]) -> float:
    """Return the mean reward of the rollouts of ``act``, one on each problem."""
    walks = [roll_out(p.context, lambda _, observations: act(observations), 1) for p in problems]
    pairs = zip(problems, walks, strict=True)
    return float(np.mean([problem.returns(walk)[0] for problem, walk in pairs]))


def planner_reward(problems: Sequence[SurrogateProblem]) -> float:
    """Return the mean reward of the plans that are (nearly) best for the predicted damage."""
    plans = (LagrangianPlanner.of(p.context.budget, p.damage).counts for p in problems)
    pairs = zip(problems, plans, strict=True)
    return float(np.mean([problem.reward(counts) for problem, counts in pairs]))


def _total(damage: Sequence[Floats], counts: Iterable[int]) -> float:
    return float(sum(curve[count] for curve, count in zip(damage, counts, strict=True)))
