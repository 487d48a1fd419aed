"""Replay buffer of whole walks, and a DDPG model that learns from it."""

from __future__ import annotations

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3 import DDPG
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from stable_baselines3.common.vec_env import VecNormalize

from autoprune.agents.rollouts import Walk
from autoprune.envs.walk import Observation
from autoprune.foundation.seeds import Seeds


class WalkBuffer(ReplayBuffer):
    """Transitions of whole walks with their returns: n-step targets with n the length of a walk.

    ``load`` replaces the content. Each batch is drawn in equal parts from evaluated and imagined
    walks, however many there are of each.
    """

    def load(self, parts: list[tuple[list[Walk], NDArray[np.float64]]]) -> None:
        """Set the parts to sample equally from: walks and the return of each."""
        self.parts = [_transitions(walks, returns) for walks, returns in parts if walks]

    def sample(self, batch_size: int, env: VecNormalize | None = None) -> ReplayBufferSamples:
        """Draw a batch; every transition is marked as last, with its return as its reward."""
        drawn = [self._draw(part, batch_size // len(self.parts)) for part in self.parts]
        observations, actions, returns = (torch.cat(column) for column in zip(*drawn, strict=True))
        return ReplayBufferSamples(
            observations, actions, observations, torch.ones_like(returns), returns
        )

    def _draw(self, part: tuple[torch.Tensor, ...], number: int) -> tuple[torch.Tensor, ...]:
        rows = torch.randint(len(part[0]), (number,))
        return tuple(column[rows] for column in part)


def build_ddpg(
    env: gymnasium.Env[Observation, NDArray[np.float32]],
    widths: list[int],
    learning_rate: float,
    seed: int,
) -> DDPG:
    """Build a DDPG model with a ``WalkBuffer``; it is given its walks and never steps ``env``."""
    model = DDPG(
        "MlpPolicy",
        env,
        learning_rate=learning_rate,
        gamma=1.0,
        buffer_size=1,
        replay_buffer_class=WalkBuffer,
        policy_kwargs={"net_arch": widths},
        device="cpu",
        seed=Seeds(seed).narrow,
    )
    model.set_logger(Logger(None, []))
    return model


def _transitions(walks: list[Walk], returns: NDArray[np.float64]) -> tuple[torch.Tensor, ...]:
    """Return observations, actions and returns of all steps, [steps, ...]."""
    per_step = np.repeat(returns, [len(walk.actions) for walk in walks])
    return (
        torch.as_tensor(np.concatenate([walk.observations for walk in walks])),
        torch.as_tensor(np.concatenate([walk.actions for walk in walks])[:, None]),
        torch.as_tensor(per_step.astype(np.float32)[:, None]),
    )
