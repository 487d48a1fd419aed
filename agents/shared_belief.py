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

POWERS: Final = (1.0, 1.25, 1.5, 1.75, 2.0)
"""Powers that errors may be raised to before they add up: above 1, one large error is worse than
two of half its size, as the error curves alone would not have it."""

NOISES: Final = (0.1, 0.15, 0.2, 0.3, 0.45, 0.7, 1.0)
"""What the model may leave unexplained, as a part of the spread of a network's rewards."""

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


def imagine(course: core.Course, rng: np.random.Generator) -> list[Floats]:
    """Return the damage by group and count in a world drawn before anything was evaluated.

    [size + 1] for each group. Errors matter by what groups are like and by chance, and add up after
    some power.
    """
    described = features(course)
    logs = described @ rng.normal(0, 0.4, described.shape[1]) + rng.normal(
        0, SPREAD, len(described)
    )
    power = np.exp(rng.uniform(np.log(0.7), np.log(POWERS[-1])))
    return [np.exp(log) * curve**power for log, curve in zip(logs, course.errors, strict=True)]


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
    """What evaluations say of the weights of groups' errors, ``mean`` [len(FEATURES)], and power.

    Hierarchical linear regression (Gelman and Hill 2007, chapter 13): a group's weight is what its
    features say plus a deviation of its own, and what networks disagree about ends up in those. So
    a coefficient moves off its prior (all groups weigh 1) only as far as the networks agree. The
    power, and for each network the noise, are those of the largest marginal likelihood (MacKay
    1992): a network whose losses the errors do not explain has little say.
    """

    mean: Floats
    power: float

    @classmethod
    def of(cls, evidences: Sequence[Evidence]) -> Self:
        """Fit evaluated plans of several networks; with none, errors add up as they are."""
        fits = []
        for power in POWERS:
            found = [_explain(item, power) for item in evidences]
            fits.append((sum(each.likelihood for each in found), -power, found))
        _, power, found = max(fits, key=lambda fit: fit[:2])
        return cls(_shared(evidences, found), -power)

    def weights(self, features: Floats) -> Floats:
        """Return the expected weights of groups, [groups], none below ``LEAST``."""
        return np.maximum(features @ self.mean, LEAST)

    def damage(self, course: core.Course) -> list[Floats]:
        """Return the expected damage by group and count, [size + 1] for each group."""
        weights = self.weights(features(course))
        pairs = zip(weights, course.errors, strict=True)
        return [weight * curve**self.power for weight, curve in pairs]


@dataclass(frozen=True, eq=False)
class _Explained:
    """One network's evidence made comparable with others': see ``_explain``."""

    likelihood: float
    errors: Floats
    rewards: Floats
    noise: Floats


def _explain(item: Evidence, power: float) -> _Explained:
    """Find the scale and the noise that make rewards likeliest, by the prior of weights.

    Errors, to some power, and rewards are centred within each series; rewards and noise are divided
    by the scale, so that weights are about 1. Plans far below the best of their series count for
    less: rewards saturate there.
    """
    errors, rewards = item.errors**power, item.rewards.copy()
    behind = np.zeros(len(rewards))
    for number in np.unique(item.series):
        rows = item.series == number
        behind[rows] = rewards[rows].max() - rewards[rows]
        errors[rows] -= errors[rows].mean(axis=0)
        rewards[rows] -= rewards[rows].mean()
    spread = max(float(rewards.std()), 1e-6)
    relative = 1 + behind / spread
    design = errors @ item.features
    prior = PRIOR**2 * design @ design.T + SPREAD**2 * errors @ errors.T
    expected = -errors.sum(axis=1)
    unit = spread / max(float(expected.std()), 1e-9)
    tried = [
        (_log_normal(rewards - scale * expected, scale**2 * prior, noise), scale, noise)
        for scale in unit * np.geomspace(0.1, 1.5, 10)
        for noise in (part * spread * relative for part in NOISES)
    ]
    likelihood, scale, noise = max(tried, key=lambda item: item[0])
    return _Explained(likelihood, errors, rewards / scale, noise / scale)


def _log_normal(residual: Floats, covariance: Floats, noise: Floats) -> float:
    """Logarithm of a normal density, up to a constant: covariance plus independent noise."""
    root = np.linalg.cholesky(covariance + np.diag(noise**2))
    whitened = np.linalg.solve(root, residual)
    return float(-np.log(np.diag(root)).sum() - whitened @ whitened / 2)


def _shared(evidences: Sequence[Evidence], found: Sequence[_Explained]) -> Floats:
    """Solve for the coefficients of ``FEATURES``, the groups' own deviations beside them."""
    width = len(FEATURES)
    groups = [len(item.features) for item in evidences]
    starts = width + np.concatenate(([0], np.cumsum(groups))).astype(int)
    precision = np.diag([PRIOR**-2] * width + [SPREAD**-2] * sum(groups))
    prior = np.zeros(starts[-1])
    prior[0] = 1.0
    right = precision @ prior
    for item, each, start, size in zip(evidences, found, starts, groups, strict=False):
        design = np.zeros((len(each.rewards), starts[-1]))
        design[:, :width] = -each.errors @ item.features
        design[:, start : start + size] = -each.errors
        weighted = design / each.noise[:, None] ** 2
        precision += design.T @ weighted
        right += weighted.T @ each.rewards
    mean: Floats = np.linalg.solve(precision, right)[:width]
    return mean
