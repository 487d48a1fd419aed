"""``autoprune/LayerPruning-v0``: the walk over a network's groups as a gymnasium environment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from autoprune.envs.rewards import find_reward
from autoprune.envs.walk import (
    ENTRIES,
    Observation,
    WalkContext,
    initial,
    observe,
    plan_of,
    step_reward,
    terminal,
    transition,
)
from autoprune.problem.evaluation import Evaluation
from autoprune.problem.problem import PruningProblem
from autoprune.structure.plan import Plan

Action = NDArray[np.float32]


class LayerPruning(gymnasium.Env[Observation, Action]):
    """Environment in which an agent decides how many units of each group stay, in execution order.

    Observation: float32 [len(ENTRIES)] in [-1, 1], about the group that the next action
    decides. Action: float32 [1] in [-1, 1]; -1 keeps the fewest and +1 the most units that the
    budget leaves to the group, 0 the count at a common keep fraction of all undecided groups.
    An episode has one step per group. Its reward is 0 until the last step, which scores the plan
    (``reward``: a function, or its name in ``rewards.REWARDS``); with ``shaping`` every step also
    earns its difference of a potential (``reward``). The last step's info holds the ``plan``
    and its ``evaluation``.

    ``evaluate`` scores plans: ``ledger.evaluate`` counts and caches them; by default it is the
    problem's own.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 - gymnasium declares it per instance
        "render_modes": []
    }

    def __init__(
        self,
        problem: PruningProblem,
        evaluate: Callable[[Plan], Evaluation] | None = None,
        reward: str | Callable[[Evaluation], float] = "loss",
        shaping: bool = False,
    ) -> None:
        self.problem, self.context = problem, WalkContext.of(problem)
        self.observation_space = spaces.Box(-1.0, 1.0, (len(ENTRIES),), np.float32)
        self.action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
        self.state = initial(self.context)
        self._evaluate = evaluate or problem.evaluate
        self._reward = find_reward(reward) if isinstance(reward, str) else reward
        self._shaping = shaping

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start a new walk; there is no randomness to seed and there are no options."""
        super().reset(seed=seed, options=options)
        self.state = initial(self.context)
        return observe(self.context, self.state), {}

    def step(self, action: Action) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Decide the next group; see the class for observation, reward and info.

        Raises ResetNeeded after the last step, InvalidAction for an action outside [-1, 1], and
        whatever evaluating the plan raises, such as ``OutOfEvaluations``.
        """
        value = float(action[0])
        if terminal(self.context, self.state):
            raise gymnasium.error.ResetNeeded("the walk is over: call reset()")
        if not -1 <= value <= 1:
            raise gymnasium.error.InvalidAction(f"an action lies in [-1, 1], not {value}")
        before, self.state = self.state, transition(self.context, self.state, value)
        info: dict[str, Any] = {}
        earned = 0.0
        terminated = terminal(self.context, self.state)
        if terminated:
            info["plan"] = plan_of(self.context, self.state)
            info["evaluation"] = self._evaluate(info["plan"]).finite()
            earned = self._reward(info["evaluation"])
        reward = step_reward(self.context, before, self.state, earned, self._shaping)
        return observe(self.context, self.state), reward, terminated, False, info
