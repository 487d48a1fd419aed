"""Teaching a policy what a guide would do, anywhere near where the guide would go."""

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
from autoprune.envs.lagrangian import Guide
from autoprune.envs.walk import ENTRIES, WalkContext, guided, initial, observe, terminal, transition

Floats = NDArray[np.float64]

_KNOTS: Final = (0.0, 0.5, 0.75, 0.88, 0.95, 0.98, 0.998)

STRAY: Final = 0.6
"""Most standard deviation of the noise that leads walks away from the guide's."""

JITTER: Final = 0.5
"""Standard deviation of the logarithm by which the errors of a made-up network differ."""


@dataclass(frozen=True, eq=False)
class Lessons:
    """Observations [steps, entries] and the guide's actions there [steps]."""

    observations: NDArray[np.float32]
    actions: NDArray[np.float32]


def lessons(
    context: WalkContext, damage: Sequence[Floats], rng: np.random.Generator, walks: int
) -> Lessons:
    """Walk with more and more noise around the guide of ``damage`` by count, [size + 1] each.

    So the policy also learns the way back (Ross, Gordon and Bagnell 2011 say why it must).
    """
    guide = Guide.of(context.budget, damage)
    observations, actions = [], []
    for sigma in np.linspace(0, STRAY, walks):
        state = initial(context)
        while not terminal(context, state):
            action = np.array([guided(guide, state)], np.float32)
            observations.append(observe(context, state))
            actions.append(action[0])
            state = transition(context, state, float(truncated_normal(action, sigma, rng)[0]))
    return Lessons(np.stack(observations), np.array(actions, np.float32))


def apprentice(width: int) -> nn.Module:
    """Build an actor that does what the error curves suggest, and has everything else to learn.

    It is what stable-baselines3's DDPG acts with, so DDPG can go on from it. Its first units draw
    the inverse of the final tanh in straight pieces over the observation's ``guided``, positive and
    negative side by side; the weights of all other units on the action are 0. So on networks unlike
    any it learned from it falls back on the error curves, not on chance.
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
    taught: Sequence[Lessons],
    steps: int,
    seed: int,
    on_step: Callable[[int, float], None],
    batch: int = 256,
    learning_rate: float = 1e-3,
) -> None:
    """Fit the actor to all lessons, each counting alike however long; mean squared error.

    ``on_step`` is called with the number of steps done and the loss, a hundred times in all.
    """
    weight = torch.cat([torch.full((len(item.actions),), 1 / len(item.actions)) for item in taught])
    observations = torch.as_tensor(np.concatenate([item.observations for item in taught]))
    actions = torch.as_tensor(np.concatenate([item.actions for item in taught]))
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
