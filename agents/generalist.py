"""Generalist: one policy for many networks and budgets, from few evaluations on each.

Evaluations on all networks in turn show how much a group's error matters, given what the group is
like (:mod:`autoprune.agents.shared_reward_model`). Evaluated are the plan of least error, the
uniform plan, and plans that would be best under randomly drawn damage curves. None depends on what
was learned, so evaluations of a network can be reused whatever the other training networks are.
The policy then imitates a planner (:mod:`autoprune.envs.lagrangian`) that knows the fitted model:
improving by a planner and imitating it is expert iteration (Anthony, Tian and Barber 2017). DDPG or
PPO continue from there on predicted damage (:mod:`autoprune.agents.policy_training`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from torch import nn

from autoprune.agents.base import isolated
from autoprune.agents.imitation import JITTER, demonstrate, imitate, initial_actor
from autoprune.agents.policy import Policy
from autoprune.agents.policy_training import (
    Curriculum,
    OnRound,
    PolicyTrainingConfig,
    train_actor,
)
from autoprune.agents.rollouts import retrace
from autoprune.agents.shared_reward_model import SharedRewardModel
from autoprune.agents.surrogate import WORST, SurrogateProblem, planner_reward
from autoprune.agents.training_case import (
    TrainingCase,
    TrainingTrial,
    draw,
    evidence_of,
    relative_rewards,
)
from autoprune.envs.walk import WalkContext
from autoprune.networks.execution import one_thread
from autoprune.problem.ledger import Ledger
from autoprune.problem.problem import PruningProblem

OnStep = Callable[[int, float], None]
OnTrial = Callable[[TrainingCase, TrainingTrial], None]


@dataclass(frozen=True)
class GeneralistConfig:
    """Hyper-parameters of imitation, and those of the training that follows."""

    width: int = 64
    walks: int = 6
    """Demonstrations per network, budget and variant of the network."""
    variants: int = 2
    """Synthetic networks per network and budget, with other errors, for variety."""
    steps: int = 3000
    """Gradient steps of imitation."""
    training: PolicyTrainingConfig = field(default_factory=PolicyTrainingConfig)


@dataclass(frozen=True)
class TrainedPolicy:
    """Result of training: the policy, and the reward model that was fitted to the evaluations.

    ``imitation`` is the policy before reinforcement learning. ``held_out_rewards``: mean rewards on
    the held-out surrogate problems of the ``planner``, of its ``imitation`` and of the agent that
    continued from there; empty if none did.
    """

    policy: Policy
    reward_model: SharedRewardModel
    imitation: Policy
    held_out_rewards: Mapping[str, float] = field(default_factory=dict)


class Generalist:
    """Trainer of one policy: explores several cases by evaluations, then learns from these.

    ``agent``: ``ddpg`` or ``ppo``, or None to stop at imitation. The same cases, seed and
    evaluations give the same policy; ``trials`` holds the evaluations of each case.
    """

    def __init__(
        self,
        cases: Sequence[TrainingCase],
        seed: int,
        config: GeneralistConfig | None = None,
        agent: str | None = None,
    ) -> None:
        self.cases, self.seed, self.agent = cases, seed, agent
        self.config = config or GeneralistConfig()
        self.trials: list[list[TrainingTrial]] = [[] for _ in cases]

    def explore(self, evaluations: int, on_trial: OnTrial) -> None:
        """Spend evaluations on all networks in turn, at the lowest, middle and highest budget."""
        rngs = [np.random.default_rng(self.seed) for _ in self.cases]
        ledgers = [self._ledgers(case, evaluations) for case in self.cases]
        for number in range(evaluations):
            turn, index = divmod(number, len(self.cases))
            case = self.cases[index]
            budgets = sorted({0, len(case.problems) // 2, len(case.problems) - 1})
            budget = budgets[turn % len(budgets)]
            ledger = ledgers[index][budget]
            plan = draw(case, budget, ledger, rngs[index])
            if plan is None:
                continue
            ledger.evaluate(plan)
            trial = TrainingTrial(number + 1, budget, ledger.history[-1])
            self.trials[index].append(trial)
            on_trial(case, trial)

    def train(
        self, on_step: OnStep, on_round: OnRound = lambda number, reward: None
    ) -> TrainedPolicy:
        """Imitate the planner that knows the fitted reward model, then train by RL.

        ``on_step`` is called with the number of gradient steps and the loss, a hundred times in
        all; ``on_round`` after each round of reinforcement learning.
        """
        reward_model, config = self.reward_model(), self.config
        with isolated(self.seed) as rng, one_thread():
            actor: nn.Module = initial_actor(config.width)
            contexts = [self._contexts(case, case.problems, rng) for case in self.cases]
            demonstrations = [
                demonstrate(context, reward_model.predict_damage(context), rng, config.walks)
                for case_contexts in contexts
                for context in case_contexts
            ]
            imitate(actor, demonstrations, config.steps, self.seed, on_step)
            imitation = Policy.of(actor, "relu", "tanh", {})
            if self.agent is None:
                return TrainedPolicy(imitation, reward_model, imitation)
            curriculum = self._curriculum(reward_model, contexts, rng)
            trained = train_actor(
                self.agent, actor, curriculum, config.training, self.seed, on_round
            )
        rewards = {
            "planner": planner_reward(curriculum.held_out),
            "imitation": trained.before,
            self.agent: trained.after,
        }
        policy = Policy.of(trained.actor, "relu", "tanh", {})
        return TrainedPolicy(policy, reward_model, imitation, rewards)

    def reward_model(self) -> SharedRewardModel:
        """Fit the shared reward model to all evaluations so far."""
        pairs = zip(self.cases, self.trials, strict=True)
        return SharedRewardModel.of([evidence_of(case, trials) for case, trials in pairs if trials])

    def _ledgers(self, case: TrainingCase, evaluations: int) -> list[Ledger]:
        known = case.known or [{} for _ in case.problems]
        return [
            Ledger(problem, evaluations, known=evaluated)
            for problem, evaluated in zip(case.problems, known, strict=True)
        ]

    def _contexts(
        self, case: TrainingCase, problems: Sequence[PruningProblem], rng: np.random.Generator
    ) -> list[WalkContext]:
        """Return each problem's context, followed by those of its synthetic variants."""
        contexts = []
        for problem in problems:
            context = WalkContext.of(problem)
            jitter = np.exp(rng.normal(0, JITTER, (self.config.variants, context.length)))
            contexts.append(context)
            for factors in jitter:
                errors = [f * e for f, e in zip(factors, context.errors, strict=True)]
                contexts.append(WalkContext.of(problem, errors))
        return contexts

    def _curriculum(
        self,
        reward_model: SharedRewardModel,
        contexts: Sequence[list[WalkContext]],
        rng: np.random.Generator,
    ) -> Curriculum:
        """Return the surrogate problems, the held-out ones, and the evaluated walks."""

        def surrogate(context: WalkContext) -> SurrogateProblem:
            return SurrogateProblem.of(context, reward_model.predict_damage(context))

        by_case = [[surrogate(context) for context in of_case] for of_case in contexts]
        held_out = [
            surrogate(context)
            for case in self.cases
            for context in self._contexts(case, case.held_out, rng)
        ]
        scales = iter(reward_model.scales)
        walks, earned = [], []
        for trials, problems in zip(self.trials, by_case, strict=True):
            scale = next(scales) if trials else {}
            real = problems[:: 1 + self.config.variants]  # one per budget, without the variants
            for trial, reward in zip(trials, relative_rewards(trials), strict=True):
                problem = real[trial.budget]
                walks.append(retrace(problem.context, trial.record.plan))
                earned.append(max(reward / scale[trial.budget] / problem.unit, WORST))
        training = [problem for problems in by_case for problem in problems]
        return Curriculum(training, held_out or training, walks, np.array(earned))
