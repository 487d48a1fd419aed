"""DDPG on stable-baselines3: the default searcher, off-policy, combined with a reward model.

Lillicrap et al. 2016, as used by AMC (He et al. 2018), adapted to few evaluations: returns of whole
walks instead of bootstrapping, many gradient steps per evaluation, initial plans from the other
searchers, and training on imagined walks too, whose rewards a linear model of the evaluations
predicts (:mod:`autoprune.agents.reward_model`). A walk takes milliseconds, an evaluation seconds.
Each evaluation is therefore spent on the best plan under one sample of the reward model:
alternately among many walks and among all plans (a knapsack with the sampled coefficients). The
default reward is the loss, which a few thousand samples measure better than the score. What was
tried: docs/agent.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

import numpy as np
from numpy.typing import NDArray

from autoprune.agents.base import OnStep, isolated, plans_by_loss, propose, silent
from autoprune.agents.depth_plans import gone_like
from autoprune.agents.initial_plans import least_error, warm_start_plans
from autoprune.agents.noise import Decay, truncated_normal
from autoprune.agents.policy import Policy, origin
from autoprune.agents.random_search import random_walk
from autoprune.agents.reward_model import RewardModel
from autoprune.agents.rollouts import Propose, Walk, actor_function, group_errors, retrace, roll_out
from autoprune.agents.walk_buffer import WalkBuffer, build_ddpg
from autoprune.envs.layer_pruning import LayerPruning
from autoprune.envs.rewards import LOSS, Reward
from autoprune.envs.walk import WalkContext
from autoprune.networks.execution import one_thread
from autoprune.problem.ledger import Ledger
from autoprune.problem.problem import PruningProblem
from autoprune.structure.plan import Plan


@dataclass(frozen=True)
class DDPGConfig:
    """Hyper-parameters, chosen on synthetic problems and digits."""

    width: int = 64
    learning_rate: float = 1e-3
    batch: int = 128
    noise: Decay = field(default_factory=Decay)
    walks: int = 16
    """Imagined walks per evaluation; half explore around the actor, half around the best walks."""
    remembered: int = 256
    """Most recent imagined walks in the replay buffer."""
    gradient_steps: int = 20
    """Gradient steps per round of evaluations."""
    warm_up: int = 5
    """Rounds of imagined walks and gradient steps before the first walk is evaluated."""
    elite: int = 3
    """Number of best walks that are explored around."""
    mutations: int = 3
    """Largest number of actions changed when exploring around a walk."""
    seeded: bool = True
    """Start with the initial plans of the other searchers; else with random walks."""
    knapsack: bool = True
    """Spend every other evaluation on the best of all plans under a sampled reward model."""
    imagine: bool = True
    """Choose among imagined walks and learn from them; else evaluate every walk of the actor, as
    AMC does."""
    led: bool = True
    """Let the actor take half of the imagined walks; else all explore around the best ones.
    ``benchmarks/ablation.py`` measures the effect of these four."""


class DDPGSearcher:
    """Searcher by DDPG and a reward model. ``policy`` holds the actor after a search.

    ``start``: a policy to continue from. Its plan is evaluated first, and the actor starts with its
    weights if it has the configured shape.
    """

    def __init__(
        self,
        config: DDPGConfig | None = None,
        on_step: OnStep = silent,
        start: Policy | None = None,
        reward: Reward = LOSS,
    ) -> None:
        self.config, self.reward = config or DDPGConfig(), reward
        self.start = start
        self.policy: Policy | None = None
        self._on_step = on_step

    def search(self, problem: PruningProblem, ledger: Ledger, seed: int) -> None:
        """Evaluate initial plans, then repeat: imagine walks, evaluate the best, learn."""
        with isolated(seed) as rng:
            learner = _Learner(self, problem, ledger, seed, rng)
            learner.run(self._on_step)
            self.policy = learner.policy()


class _Learner:
    """State of one search: evaluated and imagined walks, and the DDPG model."""

    def __init__(
        self,
        searcher: DDPGSearcher,
        problem: PruningProblem,
        ledger: Ledger,
        seed: int,
        rng: np.random.Generator,
    ) -> None:
        self.config, self.reward, self.start = searcher.config, searcher.reward, searcher.start
        self.problem, self.ledger, self.rng = problem, ledger, rng
        self.context = WalkContext.of(problem)
        self.evaluated: list[Walk] = []
        self.rewards: list[float] = []
        self.doubts: list[float] = []
        self.imagined: list[Walk] = []
        self.turn = 0
        widths = [self.config.width, self.config.width]
        self.model = build_ddpg(LayerPruning(problem), widths, self.config.learning_rate, seed)

    def run(self, on_step: OnStep) -> None:
        """Search until no evaluation is left or no new plan is proposed."""
        self.evaluate(self.first_plans())
        self.load_start()
        if self.config.imagine:
            for _ in range(self.config.warm_up):
                self.imagined += self.walk(self.config.noise.start)
                self.learn()
            self.load_start()  # the untrained critic has made the actor worse meanwhile
        while plans := propose(self.ledger, self.draw):
            self.evaluate(plans)
            metrics = {"sigma": self.sigma, **self.learn()}
            for reward in self.rewards[-len(plans) :]:
                on_step({f"reward_{self.reward.name}": reward, **metrics})

    def first_plans(self) -> list[Plan]:
        """Return the plans to evaluate before anything is learned."""
        if not self.config.seeded:
            return propose(self.ledger, lambda: random_walk(self.context, self.rng))
        problem = self.problem
        plans = dict.fromkeys([*self.start_plan(), *problem.first, *warm_start_plans(problem)])
        return list(plans)[: self.ledger.left]

    def start_plan(self) -> list[Plan]:
        """Return the plan of the policy to continue from, filled up, if there is one."""
        return [self.problem.budget.top_up(self.start.plan(self.problem))] if self.start else []

    def load_start(self) -> None:
        """Copy the policy to continue from into the actor, if the shapes agree."""
        if self.start and self.start.is_like(self.model.actor, "relu", "tanh"):
            self.start.copy_to(self.model.actor)
            self.start.copy_to(self.model.actor_target)

    @property
    def sigma(self) -> float:
        """Standard deviation of the exploration noise."""
        return self.config.noise(len(self.evaluated))

    def evaluate(self, plans: list[Plan]) -> None:
        """Evaluate plans and remember their walks."""
        for plan, evaluation in zip(plans, self.ledger.evaluate_all(plans), strict=True):
            self.rewards.append(self.reward(evaluation))
            self.doubts.append(self.reward.error(evaluation))
            self.evaluated.append(retrace(self.context, plan))

    def draw(self) -> Plan:
        """Return the best plan under a sample of the reward model.

        Alternately the best of all plans, and the best new one among many walks.
        """
        if not self.config.imagine:
            (walk,) = roll_out(self.context, self.act(np.array([self.sigma])), 1)
            return self.plan(walk)
        sampled = self.reward_model().sample(self.rng)
        self.turn += 1
        if self.config.knapsack and self.turn % 2:
            best = plans_by_loss(self.ledger)[0]
            gone = gone_like(self.problem, best, self.rng)
            return least_error(self.problem, sampled.coefficients, gone)
        walks = self.walk(self.sigma)
        self.imagined = (self.imagined + walks)[-self.config.remembered :]
        order = np.argsort(-sampled.expect(group_errors(self.context, walks)))
        plans = [self.plan(walks[i]) for i in order]
        return next((plan for plan in plans if plan not in self.ledger), plans[0])

    def plan(self, walk: Walk) -> Plan:
        """Return the plan of a walk, filled up with single units that fit."""
        return self.problem.budget.top_up(self.problem.cost.plan(walk.kept))

    def act(self, spread: NDArray[np.float64]) -> Propose:
        """Return the actor with noise of standard deviations ``spread`` [walks]."""
        mean = actor_function(self.model.actor)
        return lambda _, observations: truncated_normal(mean(observations), spread, self.rng)

    def walk(self, sigma: float) -> list[Walk]:
        """Imagine walks: by the actor, with noise from 0 to ``sigma``, and around the best ones."""
        led = self.config.walks // 2 if self.config.led else 0
        number = self.config.walks - led
        best = np.argsort(self.rewards)[::-1][: self.config.elite]
        bases = [self.evaluated[i].actions for i in self.rng.choice(best, number)]
        actions = np.stack([self.mutate(base, sigma) for base in bases])
        return [
            *(roll_out(self.context, self.act(np.linspace(0, sigma, led)), led) if led else ()),
            *roll_out(self.context, lambda step, _: actions[:, step], number),
        ]

    def mutate(self, actions: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
        """Return the actions with a few of them redrawn nearby."""
        most = min(self.config.mutations, len(actions))
        chosen = self.rng.choice(len(actions), self.rng.integers(1, most + 1), replace=False)
        changed = actions.copy()
        changed[chosen] = truncated_normal(actions[chosen], sigma, self.rng)
        return changed

    def reward_model(self) -> RewardModel:
        """Fit the reward model to all evaluations."""
        errors = group_errors(self.context, self.evaluated)
        return RewardModel.of(errors, np.array(self.rewards), np.array(self.doubts))

    def learn(self) -> dict[str, float]:
        """Take gradient steps on evaluated and imagined walks; return the losses."""
        known, expected = np.array(self.rewards), np.zeros(0)
        if self.imagined:
            expected = self.reward_model().expect(group_errors(self.context, self.imagined))
        everything = np.concatenate((known, expected))
        center, scale = np.median(everything), everything.std() + 1e-6
        cast(WalkBuffer, self.model.replay_buffer).load(
            [
                (walks, np.clip((returns - center) / scale, -3, 3))
                for walks, returns in ((self.evaluated, known), (self.imagined, expected))
            ]
        )
        with one_thread():
            self.model.train(self.config.gradient_steps, self.config.batch)
        values = self.model.logger.name_to_value
        return {name: float(values[f"train/{name}"]) for name in ("actor_loss", "critic_loss")}

    def policy(self) -> Policy:
        """Return a copy of the actor."""
        about = origin("ddpg", self.problem, self.ledger)
        return Policy.of(self.model.actor, "relu", "tanh", about)
