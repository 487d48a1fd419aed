"""Imitation: fitting an actor to the actions of a planner, on and near the planner's own walks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.torch_layers import create_mlp
from torch import nn

from autoprune.agents.noise import truncated_normal
from autoprune.envs.lagrangian import LagrangianPlanner
from autoprune.envs.walk import (
    ENTRIES,
    WalkContext,
    initial,
    observe,
    planner_action,
    terminal,
    transition,
)
from autoprune.foundation.arrays import Floats

_KNOTS: Final = (0.0, 0.5, 0.75, 0.88, 0.95, 0.98, 0.998)

LARGEST_NOISE: Final = 0.6
"""Largest standard deviation of the noise that makes walks depart from the planner's."""

JITTER: Final = 0.5
"""Standard deviation of the log factors on the errors of a synthetic network."""


@dataclass(frozen=True, eq=False)
class Demonstrations:
    """Observations [steps, entries] and the planner's actions there [steps]."""

    observations: NDArray[np.float32]
    actions: NDArray[np.float32]


def demonstrate(
    context: WalkContext, damage: Sequence[Floats], rng: np.random.Generator, walks: int
) -> Demonstrations:
    """Return the planner's actions for ``damage`` (by count, [size + 1] for each group).

    The walks carry increasing noise, so the actor also learns to recover from its own mistakes
    (Ross, Gordon and Bagnell 2011).
    """
    planner = LagrangianPlanner.of(context.budget, damage)
    observations, actions = [], []
    for sigma in np.linspace(0, LARGEST_NOISE, walks):
        state = initial(context)
        while not terminal(context, state):
            action = np.array([planner_action(planner, state)], np.float32)
            observations.append(observe(context, state))
            actions.append(action[0])
            state = transition(context, state, float(truncated_normal(action, sigma, rng)[0]))
    return Demonstrations(np.stack(observations), np.array(actions, np.float32))


def initial_actor(width: int) -> nn.Module:
    """Build an actor that follows the error curves before it has learned anything.

    Its layers are those of a stable-baselines3 DDPG actor, so DDPG can continue from it. Its first
    units approximate the inverse of the final tanh, piecewise linearly, over the observation's
    entry ``guided``, separately for positive and negative values; all other units have weight 0 on
    the action. On networks unlike the training ones it therefore falls back on the error curves.
    """
    layers = create_mlp(len(ENTRIES), 1, [width, width], nn.ReLU, squash_output=True)
    first, second, last = (layer for layer in layers if isinstance(layer, nn.Linear))
    column = list(ENTRIES).index("guided")
    knots = torch.tensor(_KNOTS)
    slopes = torch.diff(torch.atanh(knots)) / torch.diff(knots)
    bends = torch.diff(slopes, prepend=torch.zeros(1))
    with torch.no_grad():
        last.weight.zero_()
        last.bias.zero_()
        for side, sign in enumerate((1.0, -1.0)):
            rows = slice(side * len(bends), (side + 1) * len(bends))
            first.weight[rows] = 0.0
            first.weight[rows, column] = sign
            first.bias[rows] = -knots[:-1]
            second.weight[side] = 0.0
            second.weight[side, rows] = bends
            second.bias[side] = 0.0
            last.weight[0, side] = sign
    return nn.Sequential(*layers)


def imitate(
    actor: nn.Module,
    demonstrations: Sequence[Demonstrations],
    steps: int,
    seed: int,
    on_step: Callable[[int, float], None],
    batch: int = 256,
    learning_rate: float = 1e-3,
) -> None:
    """Fit the actor to demonstrations by mean squared error; each has the same total weight.

    ``on_step`` is called with the number of steps done and the loss, a hundred times in all.
    """
    lengths = [len(part.actions) for part in demonstrations]
    weight = torch.cat([torch.full((length,), 1 / length) for length in lengths])
    observations = torch.as_tensor(np.concatenate([part.observations for part in demonstrations]))
    actions = torch.as_tensor(np.concatenate([part.actions for part in demonstrations]))
    optimizer = torch.optim.Adam(actor.parameters(), learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    generator = torch.Generator().manual_seed(seed % 2**63)
    for step in range(1, steps + 1):
        rows = torch.multinomial(weight, batch, replacement=True, generator=generator)
        loss = (actor(observations[rows])[:, 0] - actions[rows]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % max(1, steps // 100) == 0:
            on_step(step, loss.item())
