"""Surrogate problems of synthetic networks."""

import numpy as np

from autoprune.agents.surrogate import (
    SurrogateProblem,
)
from autoprune.envs.walk import WalkContext
from tests.landscape import chain_landscape


def surrogate(seed=0, groups=6, late=1.0):
    """A network where errors of the last group matter ``late`` times as much as of the first."""
    context = WalkContext.of(chain_landscape(seed, groups=groups))
    weights = np.linspace(1, late, groups)
    return SurrogateProblem.of(
        context, [w * e for w, e in zip(weights, context.errors, strict=True)]
    )


def surrogates(late=1.0):
    return [surrogate(seed, 4 + seed, late) for seed in range(3)]
