"""DDPG on stable-baselines3: off-policy, so that every evaluation is learned from many times.

Lillicrap et al. 2016, as AMC (He et al. 2018) uses it, with what few evaluations call for: returns
of whole walks instead of bootstrapping, many gradient steps per evaluation, a replay seeded with
the other searchers' plans, and training on imagined walks too, whose rewards a linear model of the
evaluations predicts (:mod:`autoprune.agents.reward_model`). A walk takes milliseconds, an
evaluation seconds: every evaluation is spent on the best plan under one draw from the reward model,
in turns among many walks and among all plans there are (a knapsack with the drawn coefficients).
The default reward is the loss, which a few thousand samples measure better than the score. What was
tried: docs/agent.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3 import DDPG
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from stable_baselines3.common.vec_env import VecNormalize

from autoprune.agents.base import OnStep, isolated, propose, silent
from autoprune.agents.initial_plans import least_error, warm_start_plans
from autoprune.agents.noise import Decay, truncated_normal
from autoprune.agents.policy import Policy, origin
from autoprune.agents.random_search import random_walk
from autoprune.agents.reward_model import RewardModel
from autoprune.agents.rollouts import Propose, Walk, actor_function, group_errors, retrace, roll_out
from autoprune.envs.layer_pruning import LayerPruning
from autoprune.envs.rewards import LOSS, Reward
from autoprune.envs.walk import Observation, WalkContext
from autoprune.networks.execution import one_thread
from autoprune.problem.ledger import Ledger
from autoprune.problem.problem import PruningProblem
from autoprune.structure.plan import Plan


@dataclass(frozen=True)
class DDPGConfig:
    """Hyper-parameters; chosen on synthetic problems and digits."""

    width: int = 64
    learning_rate: float = 1e-3
    batch: int = 128
    noise: Decay = field(default_factory=Decay)
    walks: int = 16
    """Imagined per evaluation; half explore around the actor, half around the best walks."""
    remembered: int = 256
    """Imagined walks that are kept to learn from."""
    gradient_steps: int = 20
    """Per round of evaluations (``base.BATCH``)."""
    warm_up: int = 5
    """Rounds of imagined walks and gradient steps before the first walk is evaluated."""
    elite: int = 3
    """Best walks that are explored around."""
    mutations: int = 3
    """Most groups that are decided anew when exploring around a walk."""
    seeded: bool = True
    """Begin with the plans of searchers that do not learn; else with random walks."""
    knapsack: bool = True
    """Spend every other evaluation on the best of all plans in a drawn world."""
    imagine: bool = True
    """Choose among imagined walks and learn from them; else every walk of the actor is evaluated,
    as AMC does."""
    led: bool = True
    """The actor leads half of the imagined walks; else all explore around the best ones. What each
    of the four is worth: ``benchmarks/ablation.py``."""


class WalkBuffer(ReplayBuffer):
    """Transitions of whole walks with their returns: n-step targets with n the length of a walk.

    ``load`` replaces the content; half of each batch comes from evaluated walks, half from imagined
    ones, however many there are of each.
    """

    def load(self, parts: list[tuple[list[Walk], NDArray[np.float64]]]) -> None:
        """Take the parts to sample evenly from: walks and the return of each."""
        self.parts = [_transitions(walks, returns) for walks, returns in parts if walks]

    def sample(self, batch_size: int, env: VecNormalize | None = None) -> ReplayBufferSamples:
        """Draw a batch; every transition counts as last, its return as its reward."""
        drawn = [self._draw(part, batch_size // len(self.parts)) for part in self.parts]
        observations, actions, returns = (torch.cat(column) for column in zip(*drawn, strict=True))
        return ReplayBufferSamples(
            observations, actions, observations, torch.ones_like(returns), returns
        )

    def _draw(self, part: tuple[torch.Tensor, ...], number: int) -> tuple[torch.Tensor, ...]:
        rows = torch.randint(len(part[0]), (number,))
        return tuple(column[rows] for column in part)


def _transitions(walks: list[Walk], returns: NDArray[np.float64]) -> tuple[torch.Tensor, ...]:
    """Return observations, actions and returns of all steps, [steps, ...]."""
    per_step = np.repeat(returns, [len(walk.actions) for walk in walks])
    return (
        torch.as_tensor(np.concatenate([walk.observations for walk in walks])),
        torch.as_tensor(np.concatenate([walk.actions for walk in walks])[:, None]),
        torch.as_tensor(per_step.astype(np.float32)[:, None]),
    )


class DDPGSearcher:
    """The default agent. ``policy`` holds the actor after a search.

    ``start``: a policy to go on from; its plan is the first to be evaluated, and where it is an
    actor of the configured shape, it is what the actor starts as.
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
        """Evaluate cheap plans, then learn: imagine walks, evaluate the most promising, repeat."""
        with isolated(seed) as rng:
            learner = _Learner(self, problem, ledger, seed, rng)
            learner.run(self._on_step)
            self.policy = learner.policy()


class _Learner:
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
        self.model = build(LayerPruning(problem), widths, self.config.learning_rate, seed)

    def run(self, on_step: OnStep) -> None:
        """Search until the ledger is spent or nothing new turns up."""
        self.evaluate(self.first())
        self.take_over()
        if self.config.imagine:
            for _ in range(self.config.warm_up):
                self.imagined += self.walk(self.config.noise.start)
                self.learn()
            self.take_over()  # a critic that knew nothing has led the actor astray meanwhile
        while plans := propose(self.ledger, self.draw):
            self.evaluate(plans)
            metrics = {"sigma": self.sigma, **self.learn()}
            for reward in self.rewards[-len(plans) :]:
                on_step({f"reward_{self.reward.name}": reward, **metrics})

    def first(self) -> list[Plan]:
        """Return what is evaluated before anything is learned."""
        if not self.config.seeded:
            return propose(self.ledger, lambda: random_walk(self.context, self.rng))
        seeds = dict.fromkeys([*self.given(), *warm_start_plans(self.problem)])
        return list(seeds)[: self.ledger.left]

    def given(self) -> list[Plan]:
        """Return the plan of the policy to go on from, made maximal, if there is one."""
        return [self.problem.budget.top_up(self.start.plan(self.problem))] if self.start else []

    def take_over(self) -> None:
        """Make the actor what the policy to go on from is, where it has an actor's shape."""
        if self.start and self.start.is_like(self.model.actor, "relu", "tanh"):
            self.start.copy_to(self.model.actor)
            self.start.copy_to(self.model.actor_target)

    @property
    def sigma(self) -> float:
        """Standard deviation of the exploration noise."""
        return self.config.noise(len(self.evaluated))

    def evaluate(self, plans: list[Plan]) -> None:
        """Evaluate plans and remember their walks."""
        for plan, found in zip(plans, self.ledger.evaluate_all(plans), strict=True):
            self.rewards.append(self.reward(found))
            self.doubts.append(self.reward.error(found))
            self.evaluated.append(retrace(self.context, plan))

    def draw(self) -> Plan:
        """Return what would be best in a world drawn from what is known so far.

        In turns the best of all plans, and the best new one among many walks.
        """
        if not self.config.imagine:
            (walk,) = roll_out(self.context, self.act(np.array([self.sigma])), 1)
            return self.plan(walk)
        world = self.belief().sample(self.rng)
        self.turn += 1
        if self.config.knapsack and self.turn % 2:
            return least_error(self.problem, world.coefficients)
        walks = self.walk(self.sigma)
        self.imagined = (self.imagined + walks)[-self.config.remembered :]
        order = np.argsort(-world.expect(group_errors(self.context, walks)))
        plans = [self.plan(walks[i]) for i in order]
        return next((plan for plan in plans if plan not in self.ledger), plans[0])

    def plan(self, walk: Walk) -> Plan:
        """Return the plan of a walk, made maximal."""
        return self.problem.budget.top_up(self.problem.cost.plan(walk.kept))

    def act(self, spread: NDArray[np.float64]) -> Propose:
        """Return the actor with noise of ``spread`` [walks]."""
        mean = actor_function(self.model.actor)
        return lambda _, observations: truncated_normal(mean(observations), spread, self.rng)

    def walk(self, sigma: float) -> list[Walk]:
        """Imagine walks: one of the actor's own, the others exploring."""
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
        """Decide a few steps of a walk anew, near what they were."""
        most = min(self.config.mutations, len(actions))
        chosen = self.rng.choice(len(actions), self.rng.integers(1, most + 1), replace=False)
        changed = actions.copy()
        changed[chosen] = truncated_normal(actions[chosen], sigma, self.rng)
        return changed

    def belief(self) -> RewardModel:
        """Fit the belief to all evaluations."""
        errors = group_errors(self.context, self.evaluated)
        return RewardModel.of(errors, np.array(self.rewards), np.array(self.doubts))

    def learn(self) -> dict[str, float]:
        """Take gradient steps on evaluated and imagined walks; return the losses."""
        known, expected = np.array(self.rewards), np.zeros(0)
        if self.imagined:
            expected = self.belief().expect(group_errors(self.context, self.imagined))
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
        """Copy the actor."""
        about = origin("ddpg", self.problem, self.ledger)
        return Policy.of(self.model.actor, "relu", "tanh", about)


def build(
    env: gymnasium.Env[Observation, NDArray[np.float32]],
    widths: list[int],
    learning_rate: float,
    seed: int,
) -> DDPG:
    """Build a learner that is given its walks and batches: it never steps ``env`` by itself."""
    model = DDPG(
        "MlpPolicy",
        env,
        learning_rate=learning_rate,
        gamma=1.0,
        buffer_size=1,
        replay_buffer_class=WalkBuffer,
        policy_kwargs={"net_arch": widths},
        device="cpu",
        seed=seed % 2**32,
    )
    model.set_logger(Logger(None, []))
    return model
