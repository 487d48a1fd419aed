"""Reinforcement learning over many networks and budgets at once, from an actor that exists.

DDPG (Lillicrap et al. 2016) and PPO (Schulman et al. 2017), both on stable-baselines3, walk
exercises drawn by chance; DDPG also learns from walks that were evaluated for real. Now and then
the actor sits an exam on exercises that it never learns from, and the best actor so far is what
comes out: the one it began as, if nothing was better.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, cast

import numpy as np
from numpy.typing import NDArray
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger
from torch import nn

from autoprune.agents.ddpg import WalkBuffer, build
from autoprune.agents.noise import Decay, truncated_normal
from autoprune.agents.rollouts import Act, Walk, acting, roll
from autoprune.agents.surrogate import Exercise, Exercises, examine

AGENTS: Final = ("ddpg", "ppo")

Floats = NDArray[np.float64]
OnRound = Callable[[int, float], None]
"""Called after each round with its number and the mean reward of its walks."""


@dataclass(frozen=True)
class PracticeConfig:
    """Hyper-parameters."""

    rounds: int = 150
    every: int = 25
    """Rounds between exams."""
    learning_rate: float = 3e-4
    batch: int = 256
    walks: int = 8
    """DDPG: per round, all of one exercise."""
    gradient_steps: int = 20
    """DDPG: per round."""
    remembered: int = 2000
    """DDPG: walks that are kept to learn from."""
    noise: Decay = field(default_factory=lambda: Decay(0.3, 0.99, 0.05))
    """DDPG: standard deviation of what is added to actions, by round."""
    strays: float = 0.25
    """DDPG: part of the steps that noise is added to, so that what comes of it can be told."""
    warm_up: int = 50
    """DDPG: rounds in which the critic learns alone."""
    delay: int = 8
    """DDPG: steps of the critic for one of the actor, as in TD3 (Fujimoto et al. 2018)."""
    steps: int = 512
    """PPO: steps of walks per round."""
    epochs: int = 5
    """PPO: passes over a round."""
    log_std: float = -2.0
    """PPO: logarithm of the actions' initial standard deviation."""


@dataclass(frozen=True, eq=False)
class Syllabus:
    """What there is to practice on.

    ``exercises`` to learn from, ``exam`` to judge by, and walks that were ``evaluated`` for real
    with what each of them earned, [walks].
    """

    exercises: Sequence[Exercise]
    exam: Sequence[Exercise]
    evaluated: Sequence[Walk] = ()
    earned: Floats = field(default_factory=lambda: np.zeros(0))


@dataclass(frozen=True)
class Practiced:
    """The better actor, and what both came to in the exam: as it was, and at its best after."""

    actor: nn.Module
    before: float
    after: float


def practice(
    agent: str,
    actor: nn.Module,
    syllabus: Syllabus,
    config: PracticeConfig,
    seed: int,
    said: OnRound,
) -> Practiced:
    """Let an actor of ``tutor.apprentice`` practice as ``ddpg`` or ``ppo``; it is not changed.

    The caller isolates the global random states.
    """
    best = _Best(actor, syllabus.exam)
    practice = {"ddpg": _ddpg, "ppo": _ppo}[agent]
    practice(actor, syllabus, config, seed, said, best)
    return Practiced(best.actor, best.before, best.after)


class _Best:
    """Remembers the actor that did best in the exam."""

    def __init__(self, actor: nn.Module, exam: Sequence[Exercise]) -> None:
        self._exam = exam
        self.actor = copy.deepcopy(actor)
        self.before = examine(acting(self.actor), exam)
        self.after = -np.inf

    def judge(self, layers: nn.Module) -> None:
        """Examine an actor whose linear layers are those of ``layers``."""
        candidate = copy.deepcopy(self.actor)
        _copy(layers, candidate)
        found = examine(acting(candidate), self._exam)
        if found > max(self.before, self.after):
            self.actor = candidate
        self.after = max(self.after, found)


def _ddpg(
    actor: nn.Module,
    syllabus: Syllabus,
    config: PracticeConfig,
    seed: int,
    said: OnRound,
    best: _Best,
) -> None:
    rng = np.random.default_rng(seed)
    model = build(Exercises(syllabus.exercises), _widths(actor), config.learning_rate, seed)
    model.policy_delay = config.delay
    _copy(actor, model.actor)
    buffer = cast(WalkBuffer, model.replay_buffer)
    imagined: list[Walk] = []
    returns = np.zeros(0)
    for number in range(config.rounds):
        if number <= config.warm_up:  # a critic that knows nothing would lead the actor astray
            _copy(actor, model.actor)
            _copy(actor, model.actor_target)
        exercise = syllabus.exercises[int(rng.integers(len(syllabus.exercises)))]
        walks = _explore(acting(model.actor), exercise, config, config.noise(number), rng)
        found = exercise.returns(walks)
        imagined = (imagined + walks)[-config.remembered :]
        # Over what the actor earns without noise, the first: exercises differ more than walks.
        returns = np.concatenate((returns, found - found[0]))[-config.remembered :]
        buffer.load([(imagined, returns), (list(syllabus.evaluated), syllabus.earned)])
        model.train(config.gradient_steps, config.batch)
        said(number + 1, float(found[0]))
        if number > config.warm_up and (number + 1) % config.every == 0:
            best.judge(model.actor)


def _explore(
    act: Act, exercise: Exercise, config: PracticeConfig, sigma: float, rng: np.random.Generator
) -> list[Walk]:
    spread = np.linspace(0, sigma, config.walks)

    def noisy(_: int, observations: NDArray[np.float32]) -> NDArray[np.float32]:
        strays = rng.random(config.walks) < config.strays
        return truncated_normal(act(observations), np.where(strays, spread, 0.0), rng)

    return roll(exercise.context, noisy, config.walks)


def _ppo(
    actor: nn.Module,
    syllabus: Syllabus,
    config: PracticeConfig,
    seed: int,
    said: OnRound,
    best: _Best,
) -> None:
    model = PPO(
        "MlpPolicy",
        Exercises(syllabus.exercises),
        learning_rate=config.learning_rate,
        n_steps=config.steps,
        batch_size=min(config.batch, config.steps),
        n_epochs=config.epochs,
        gamma=1.0,
        gae_lambda=1.0,
        policy_kwargs={
            "net_arch": _widths(actor),
            "activation_fn": nn.ReLU,
            "log_std_init": config.log_std,
        },
        device="cpu",
        seed=seed % 2**32,
    )
    model.set_logger(Logger(None, []))
    policy = model.policy
    # The same mean action as an actor of DDPG's, which can then go on from it.
    policy.action_net = nn.Sequential(policy.action_net, nn.Tanh())
    layers = nn.ModuleList([policy.mlp_extractor.policy_net, policy.action_net])
    _copy(actor, layers)
    watch = _Watch(layers, config.every, said, best)
    model.learn(config.rounds * config.steps, callback=watch, log_interval=10**9)
    best.judge(layers)


class _Watch(BaseCallback):
    """Counts rounds, says what their walks earned, and examines the actor now and then."""

    def __init__(self, layers: nn.Module, every: int, said: OnRound, best: _Best) -> None:
        super().__init__()
        self._layers, self._every, self._said, self._best = layers, every, said, best
        self._rounds, self._earned = 0, list[float]()

    def _on_step(self) -> bool:
        over, rewards = self.locals["dones"], self.locals["rewards"]
        self._earned += [float(reward) for reward in rewards[over]]
        return True

    def _on_rollout_end(self) -> None:
        self._rounds += 1
        self._said(self._rounds, float(np.mean(self._earned or [0.0])))
        self._earned.clear()
        if self._rounds % self._every == 0:
            self._best.judge(self._layers)


def _linear(network: nn.Module) -> list[nn.Linear]:
    return [module for module in network.modules() if isinstance(module, nn.Linear)]


def _widths(actor: nn.Module) -> list[int]:
    return [layer.out_features for layer in _linear(actor)[:-1]]


def _copy(source: nn.Module, target: nn.Module) -> None:
    """Copy the weights of all linear layers, in order."""
    for old, new in zip(_linear(source), _linear(target), strict=True):
        new.load_state_dict(old.state_dict())
