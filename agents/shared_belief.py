"""How much a group's error matters to the reward, learned on several networks for any other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from autoprune.envs import core, portrait

Floats = NDArray[np.float64]

FEATURES: Final = ("constant", "depth", "depth squared", "readers", "size", "error")
"""What the weight of a group's error may depend on, each about -1 to 1 over common networks."""

SPREAD: Final = 0.5
"""Prior standard deviation of a group's weight around what its features say; 1 is the average."""

PRIOR: Final = 0.5
"""Prior standard deviation of a feature's coefficient."""

NOISE: Final = 0.15
"""What the model cannot explain, as a part of the spread of a network's rewards."""

LEAST: Final = 0.1
"""No weight falls below it: error never helps."""


def features(course: core.Course) -> Floats:
    """Describe the groups of a course, [groups, len(FEATURES)]; the same for every budget."""
    rows = course.own.astype(np.float64)
    column = dict(zip(portrait.ENTRIES, rows.T, strict=True))
    depth = np.linspace(-1, 1, len(rows)) if len(rows) > 1 else np.zeros(1)
    return np.column_stack(
        [
            np.ones(len(rows)),
            depth,
            depth**2 - 0.33,
            8 * column["readers"] - 1,
            (16 * column["size"] - 5) / 2,
            2 * column["error_0.5"] - 0.6,
        ]
    )


@dataclass(frozen=True, eq=False)
class Evidence:
    """Evaluated plans of one network.

    ``features`` [groups, len(FEATURES)]; ``errors`` [plans, groups]; ``rewards`` [plans];
    ``series`` [plans]: rewards are compared only between plans of the same series (budget).
    """

    features: Floats
    errors: Floats
    rewards: Floats
    series: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class SharedBelief:
    """Gaussian belief over the coefficients of ``FEATURES``, [len(FEATURES)].

    Hierarchical linear regression (Gelman and Hill 2007, chapter 13): a group's weight is what its
    features say plus a deviation of its own, and what networks disagree about ends up in those. So
    a coefficient moves off its prior (all groups weigh 1) only as far as the networks agree.
    """

    mean: Floats
    root: Floats

    @classmethod
    def of(cls, evidences: Sequence[Evidence]) -> Self:
        """Fit evaluated plans of several networks; with none it is the prior."""
        width = len(FEATURES)
        groups = [len(item.features) for item in evidences]
        starts = width + np.concatenate(([0], np.cumsum(groups))).astype(int)
        precision = np.diag([PRIOR**-2] * width + [SPREAD**-2] * sum(groups))
        prior = np.zeros(starts[-1])
        prior[0] = 1.0
        right = precision @ prior
        for item, start, size in zip(evidences, starts, groups, strict=False):
            errors, rewards, noise = _comparable(item)
            design = np.zeros((len(rewards), starts[-1]))
            design[:, :width] = -errors @ item.features
            design[:, start : start + size] = -errors
            weighted = design / noise[:, None] ** 2
            precision += design.T @ weighted
            right += weighted.T @ rewards
        covariance = np.linalg.inv(precision)
        values, vectors = np.linalg.eigh(covariance[:width, :width])
        return cls((covariance @ right)[:width], vectors * np.sqrt(np.maximum(values, 0)))

    def weights(self, features: Floats) -> Floats:
        """Return the expected weights of groups, [groups], none below ``LEAST``."""
        return np.maximum(features @ self.mean, LEAST)

    def imagine(self, features: Floats, rng: np.random.Generator) -> Floats:
        """Return their weights in one world drawn from the belief, deviations included."""
        drawn = features @ (self.mean + self.root @ rng.standard_normal(len(self.mean)))
        return np.maximum(drawn + SPREAD * rng.standard_normal(len(drawn)), LEAST)


def _comparable(item: Evidence) -> tuple[Floats, Floats, Floats]:
    """Centre errors and rewards within each series, and scale so that weights are about 1.

    Plans far below the best of their series count for less: rewards saturate there.
    """
    errors, rewards = item.errors.copy(), item.rewards.copy()
    behind = np.zeros(len(rewards))
    for number in np.unique(item.series):
        rows = item.series == number
        behind[rows] = rewards[rows].max() - rewards[rows]
        errors[rows] -= errors[rows].mean(axis=0)
        rewards[rows] -= rewards[rows].mean()
    spread = max(float(rewards.std()), 1e-6)
    totals = errors.sum(axis=1)
    scale = -float(totals @ rewards) / max(float(totals @ totals), 1e-12)
    scale = max(scale, 0.1 * spread / max(float(totals.std()), 1e-9))
    noise = NOISE * spread * (1 + behind / spread)
    return errors, rewards / scale, noise / scale
