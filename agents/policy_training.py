"""Policy training: reinforcement learning over many networks and budgets, from an initial actor.

DDPG (Lillicrap et al. 2016) and PPO (Schulman et al. 2017), both on stable-baselines3, are trained
on randomly drawn surrogate problems; DDPG also replays walks that were really evaluated. The actor
is evaluated regularly on held-out problems, and the best one is returned: the initial actor, if no
later one was better.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np
from numpy.typing import NDArray
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger
from torch import nn

from autoprune.agents.noise import Decay, truncated_normal
from autoprune.agents.rollouts import Act, Walk, actor_function, roll_out
from autoprune.agents.surrogate import SurrogateEnv, SurrogateProblem, mean_reward
from autoprune.agents.walk_buffer import WalkBuffer, build_ddpg
from autoprune.foundation.arrays import Floats
from autoprune.foundation.seeds import Seeds

OnRound = Callable[[int, float], None]
"""Called after each round with its number and the mean reward of its rollouts."""


@dataclass(frozen=True)
class PolicyTrainingConfig:
    """Hyper-parameters of DDPG and PPO on surrogate problems."""

    rounds: int = 150
    every: int = 25
    """Rounds between evaluations on the held-out problems."""
    learning_rate: float = 3e-4
    batch: int = 256
    walks: int = 8
    """DDPG: rollouts per round, all on one problem."""
    gradient_steps: int = 20
    """DDPG: gradient steps per round."""
    remembered: int = 2000
    """DDPG: most recent rollouts in the replay buffer."""
    noise: Decay = field(default_factory=lambda: Decay(0.3, 0.99, 0.05))
    """DDPG: standard deviation of the exploration noise, by round."""
    noisy: float = 0.25
    """DDPG: share of the steps with noise; few, so the effect of each can be attributed."""
    warm_up: int = 50
    """DDPG: rounds in which only the critic is trained."""
    delay: int = 8
    """DDPG: critic steps per actor step, as in TD3 (Fujimoto et al. 2018)."""
    steps: int = 512
    """PPO: environment steps per round."""
    epochs: int = 5
    """PPO: passes over the steps of a round."""
    log_std: float = -2.0
    """PPO: logarithm of the initial standard deviation of actions."""


@dataclass(frozen=True, eq=False)
class Curriculum:
    """Problems to train on, problems ``held_out`` for evaluation, and real evaluations.

    ``evaluated``: walks whose plans were really evaluated; ``earned``: their rewards, [walks].
    """

    problems: Sequence[SurrogateProblem]
    held_out: Sequence[SurrogateProblem]
    evaluated: Sequence[Walk] = ()
    earned: Floats = field(default_factory=lambda: np.zeros(0))


@dataclass(frozen=True)
class TrainedActor:
    """The better actor, and the held-out rewards ``before`` training and at best ``after`` it."""

    actor: nn.Module
    before: float
    after: float


def train_actor(
    agent: str,
    actor: nn.Module,
    curriculum: Curriculum,
    config: PolicyTrainingConfig,
    seed: int,
    on_round: OnRound,
) -> TrainedActor:
    """Train a copy of an actor (``imitation.initial_actor``) by ``ddpg`` or ``ppo``.

    The caller isolates the global random states.
    """
    best = _BestActor(actor, curriculum.held_out)
    train = {"ddpg": _ddpg, "ppo": _ppo}[agent]
    train(actor, curriculum, config, seed, on_round, best)
    return TrainedActor(best.actor, best.before, best.after)


class _BestActor:
    """Keeper of the actor with the highest reward on the held-out problems."""

    def __init__(self, actor: nn.Module, held_out: Sequence[SurrogateProblem]) -> None:
        self._held_out = held_out
        self.actor = copy.deepcopy(actor)
        self.before = mean_reward(actor_function(self.actor), held_out)
        self.after = -np.inf

    def consider(self, layers: nn.Module) -> None:
        """Evaluate an actor with the linear layers of ``layers``; keep it if it is the best."""
        candidate = copy.deepcopy(self.actor)
        _copy(layers, candidate)
        reward = mean_reward(actor_function(candidate), self._held_out)
        if reward > max(self.before, self.after):
            self.actor = candidate
        self.after = max(self.after, reward)


def _ddpg(
    actor: nn.Module,
    curriculum: Curriculum,
    config: PolicyTrainingConfig,
    seed: int,
    on_round: OnRound,
    best: _BestActor,
) -> None:
    rng = np.random.default_rng(seed)
    model = build_ddpg(
        SurrogateEnv(curriculum.problems), _widths(actor), config.learning_rate, seed
    )
    model.policy_delay = config.delay
    _copy(actor, model.actor)
    buffer = cast(WalkBuffer, model.replay_buffer)
    imagined: list[Walk] = []
    returns = np.zeros(0)
    for number in range(config.rounds):
        if number <= config.warm_up:  # an untrained critic would make the actor worse
            _copy(actor, model.actor)
            _copy(actor, model.actor_target)
        problem = curriculum.problems[int(rng.integers(len(curriculum.problems)))]
        walks = _explore(actor_function(model.actor), problem, config, config.noise(number), rng)
        rewards = problem.returns(walks)
        imagined = (imagined + walks)[-config.remembered :]
        # Relative to the rollout without noise, the first: problems differ more than rollouts do.
        returns = np.concatenate((returns, rewards - rewards[0]))[-config.remembered :]
        buffer.load([(imagined, returns), (list(curriculum.evaluated), curriculum.earned)])
        model.train(config.gradient_steps, config.batch)
        on_round(number + 1, float(rewards[0]))
        if number > config.warm_up and (number + 1) % config.every == 0:
            best.consider(model.actor)


def _explore(
    act: Act,
    problem: SurrogateProblem,
    config: PolicyTrainingConfig,
    sigma: float,
    rng: np.random.Generator,
) -> list[Walk]:
    spread = np.linspace(0, sigma, config.walks)

    def explore(_: int, observations: NDArray[np.float32]) -> NDArray[np.float32]:
        noisy = rng.random(config.walks) < config.noisy
        return truncated_normal(act(observations), np.where(noisy, spread, 0.0), rng)

    return roll_out(problem.context, explore, config.walks)


def _ppo(
    actor: nn.Module,
    curriculum: Curriculum,
    config: PolicyTrainingConfig,
    seed: int,
    on_round: OnRound,
    best: _BestActor,
) -> None:
    model = PPO(
        "MlpPolicy",
        SurrogateEnv(curriculum.problems),
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
        seed=Seeds(seed).narrow,
    )
    model.set_logger(Logger(None, []))
    policy = model.policy
    # The same mean action as the DDPG actor that training starts from.
    policy.action_net = nn.Sequential(policy.action_net, nn.Tanh())
    layers = nn.ModuleList([policy.mlp_extractor.policy_net, policy.action_net])
    _copy(actor, layers)
    callback = _EndOfRound(layers, config.every, on_round, best)
    model.learn(config.rounds * config.steps, callback=callback, log_interval=10**9)
    best.consider(layers)


class _EndOfRound(BaseCallback):
    """Callback that reports each round's mean reward and regularly evaluates the actor."""

    def __init__(self, layers: nn.Module, every: int, on_round: OnRound, best: _BestActor) -> None:
        super().__init__()
        self._layers, self._every, self._on_round, self._best = layers, every, on_round, best
        self._rounds, self._earned = 0, list[float]()

    def _on_step(self) -> bool:
        over, rewards = self.locals["dones"], self.locals["rewards"]
        self._earned += [float(reward) for reward in rewards[over]]
        return True

    def _on_rollout_end(self) -> None:
        self._rounds += 1
        self._on_round(self._rounds, float(np.mean(self._earned or [0.0])))
        self._earned.clear()
        if self._rounds % self._every == 0:
            self._best.consider(self._layers)


def _linear(network: nn.Module) -> list[nn.Linear]:
    return [module for module in network.modules() if isinstance(module, nn.Linear)]


def _widths(actor: nn.Module) -> list[int]:
    return [layer.out_features for layer in _linear(actor)[:-1]]


def _copy(source: nn.Module, target: nn.Module) -> None:
    """Copy the weights of all linear layers, in order."""
    for old, new in zip(_linear(source), _linear(target), strict=True):
        new.load_state_dict(old.state_dict())
