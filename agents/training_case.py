"""Networks that a policy is trained on, and the evaluations spent on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from autoprune.agents.base import propose
from autoprune.agents.initial_plans import baseline_plans
from autoprune.agents.shared_reward_model import Evidence, features, sample_damage
from autoprune.envs.lagrangian import LagrangianPlanner
from autoprune.envs.rewards import LOSS
from autoprune.envs.walk import WalkContext
from autoprune.problem.evaluation import Evaluation
from autoprune.problem.ledger import Ledger, Record
from autoprune.problem.problem import PruningProblem
from autoprune.structure.plan import Plan


@dataclass(frozen=True, eq=False)
class TrainingCase:
    """A network to train on: its problem at every budget, and earlier evaluations at each.

    ``held_out``: its problem at budgets in between, on which a policy is judged but never trained.
    """

    name: str
    problems: Sequence[PruningProblem]
    known: Sequence[Mapping[Plan, Evaluation]] = field(default=())
    held_out: Sequence[PruningProblem] = field(default=())

    @cached_property
    def contexts(self) -> list[WalkContext]:
        """Context of every problem."""
        return [WalkContext.of(problem) for problem in self.problems]

    def budget(self, trial: TrainingTrial) -> str:
        """Return the budget of one of its trials."""
        return str(self.problems[trial.budget].budget.name)


@dataclass(frozen=True)
class TrainingTrial:
    """One evaluation: its ``number`` over all cases, the index of its budget, and its record."""

    number: int
    budget: int
    record: Record


def draw(case: TrainingCase, budget: int, ledger: Ledger, rng: np.random.Generator) -> Plan | None:
    """Return the next plan to evaluate, or None if draws only repeat what was evaluated.

    First the plan of least error, then the uniform one, then plans that would be best under damage
    curves sampled from the prior.
    """
    problem, context = case.problems[budget], case.contexts[budget]
    first = [plan for plan in baseline_plans(problem)[1::-1] if plan not in ledger]
    if first:
        return first[0]

    def best() -> Plan:
        counts = LagrangianPlanner.of(problem.budget, sample_damage(context, rng)).counts
        return problem.budget.top_up(problem.cost.plan(counts))

    return next(iter(propose(ledger, best, 1)), None)


def evidence_of(case: TrainingCase, trials: Sequence[TrainingTrial]) -> Evidence:
    """Return the trials of a case in the form that the shared reward model is fitted to."""
    counts = [tuple(trial.record.plan.values()) for trial in trials]
    curves = case.contexts[0].errors
    return Evidence(
        features(case.contexts[0]),
        np.array([[e[k] for e, k in zip(curves, row, strict=True)] for row in counts]),
        np.array([LOSS(trial.record.evaluation) for trial in trials]),
        np.array([trial.budget for trial in trials]),
    )


def relative_rewards(trials: Sequence[TrainingTrial]) -> list[float]:
    """Return the reward of every trial minus that of the least-error plan at its budget."""
    first: dict[int, float] = {}
    rewards = []
    for trial in trials:
        reward = LOSS(trial.record.evaluation)
        rewards.append(reward - first.setdefault(trial.budget, reward))
    return rewards
