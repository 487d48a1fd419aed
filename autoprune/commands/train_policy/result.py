"""Result of training a policy, as in ``result.json``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from autoprune.foundation.schema import Stored


@dataclass(frozen=True)
class TrainingNetwork:
    """A network that the policy was trained on, and the evaluations spent on it.

    ``first`` is the score of the error curves' own plan at the middle budget, ``best`` the best
    score there, both on the search split; None if nothing was evaluated there.
    """

    name: str
    data: str
    groups: int
    evaluations: int
    first: float | None
    best: float | None


@dataclass(frozen=True)
class PlanErrors:
    """Sums of the groups' errors that three plans leave: uniform, the error curves' own, ours."""

    network: str
    budget: str
    uniform: float
    dp: float
    policy: float


@dataclass(frozen=True)
class PolicyResult(Stored):
    """Result of ``autoprune train-policy``.

    ``coefficients`` say how much a group's error was found to matter, by what the group is like,
    and how much their squares add (:mod:`autoprune.agents.shared_reward_model`): 1 for the
    constant and 0 for all others if nothing was evaluated. ``exam``: mean rewards at budgets
    between those trained on, of ``planner``, ``imitation`` and the agent; 0 is the error curves'
    plan.
    """

    policy: Path
    agent: str
    networks: tuple[TrainingNetwork, ...]
    budgets: str
    evaluations: int
    ranking: str
    seed: int
    seconds: float
    coefficients: Mapping[str, float]
    plans: tuple[PlanErrors, ...]
    run: Path
    warnings: tuple[str, ...] = ()
    exam: Mapping[str, float] = field(default_factory=dict)
