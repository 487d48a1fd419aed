"""Rollouts: walks as data, many at once with one network call per step, or along a given plan."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from autoprune.envs.walk import WalkContext, initial, observe, transition, walk_to

Actions = NDArray[np.float32]
Act = Callable[[NDArray[np.float32]], Actions]
"""From observations [walks, entries] to actions [walks]."""
Propose = Callable[[int, NDArray[np.float32]], Actions]
"""From the step and the observations [walks, entries] to the actions [walks]."""


@dataclass(frozen=True, eq=False)
class Walk:
    """One complete walk: observations [groups, entries], actions [groups], counts kept [groups]."""

    observations: NDArray[np.float32]
    actions: Actions
    kept: tuple[int, ...]


def actor_function(actor: nn.Module) -> Act:
    """Return an actor as a function on arrays, [walks, entries] -> [walks]."""

    def act(observations: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.no_grad():
            actions: NDArray[np.float32] = actor(torch.as_tensor(observations)).numpy()[:, 0]
        return actions

    return act


def roll_out(context: WalkContext, propose: Propose, number: int) -> list[Walk]:
    """Return ``number`` walks, taken in parallel."""
    states = [initial(context)] * number
    observed, taken = [], []
    for step in range(context.length):
        observed.append(np.stack([observe(context, state) for state in states]))
        taken.append(propose(step, observed[-1]))
        states = [
            transition(context, state, float(action))
            for state, action in zip(states, taken[-1], strict=True)
        ]
    observations, actions = np.stack(observed, axis=1), np.stack(taken, axis=1)
    return [Walk(observations[i], actions[i], states[i].kept) for i in range(number)]


def retrace(context: WalkContext, plan: Mapping[str, int]) -> Walk:
    """Return the walk that ends in ``plan``; raises ValueError if there is none."""
    steps = walk_to(context, plan)
    return Walk(
        np.stack([observe(context, state) for state, _ in steps]),
        np.array([action for _, action in steps], np.float32),
        tuple(int(count) for count in context.budget.counts(plan)),
    )


def group_errors(context: WalkContext, walks: list[Walk]) -> NDArray[np.float64]:
    """Return the error that each walk leaves in each group, [walks, groups]."""
    return np.array(
        [
            [curve[count] for curve, count in zip(context.errors, walk.kept, strict=True)]
            for walk in walks
        ]
    )
