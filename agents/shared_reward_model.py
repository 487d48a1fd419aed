"""Shared reward model: how much a group's error matters, learned on several networks for others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from autoprune.envs.features import GROUP_ENTRIES
from autoprune.envs.walk import WalkContext
from autoprune.foundation.arrays import Floats

FEATURES: Final = ("constant", "depth", "depth squared", "readers", "size", "error")
"""Features that the weight of a group's error depends on, each about -1 to 1 in common networks."""

SPREAD: Final = 0.5
"""Prior standard deviation of a group's weight around its prediction; the average weight is 1."""

PRIORS: Final = (0.05, 0.2, 0.5)
"""Prior standard deviations of a feature's coefficient, from networks that disagree to ones that
agree."""

LEAST_GAIN: Final = 0.05
"""Gain in correlation on left-out networks that a wider prior must bring."""

CURVATURES: Final = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Candidate factors of an error's square: with one above 0, a large error is worse than two of half
its size, which the error curves alone do not say."""

NOISES: Final = (0.1, 0.15, 0.2, 0.3, 0.45, 0.7, 1.0)
"""Candidate standard deviations of the noise, relative to the spread of a network's rewards."""

LEAST_WEIGHT: Final = 0.1
"""Least weight of a group's error: error never helps."""


def features(context: WalkContext) -> Floats:
    """Return the features of the groups, [groups, len(FEATURES)]; the same for every budget."""
    rows = context.own.astype(np.float64)
    column = dict(zip(GROUP_ENTRIES, rows.T, strict=True))
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


def sample_damage(context: WalkContext, rng: np.random.Generator) -> list[Floats]:
    """Sample damage curves from a prior, before anything is evaluated: [size + 1] for each group.

    Each error is raised to a common random power and weighted by a random function of the group's
    features plus a random deviation of its own.
    """
    described = features(context)
    logs = described @ rng.normal(0, 0.4, described.shape[1]) + rng.normal(
        0, SPREAD, len(described)
    )
    power = np.exp(rng.uniform(np.log(0.7), np.log(2.0)))
    return [np.exp(log) * curve**power for log, curve in zip(logs, context.errors, strict=True)]


@dataclass(frozen=True, eq=False)
class Evidence:
    """Evaluated plans of one network, as data to fit.

    ``features`` [groups, len(FEATURES)]; ``errors`` [plans, groups]; ``rewards`` [plans];
    ``series`` [plans]: rewards are compared only between plans of the same series (budget).
    """

    features: Floats
    errors: Floats
    rewards: Floats
    series: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class SharedRewardModel:
    """Linear model of reward over group errors, with weights predicted from group features.

    ``mean`` [len(FEATURES)]: coefficients of the weight of a group's error. ``curvature``: factor
    of an error's square that is added to the error.

    Hierarchical linear regression (Gelman and Hill 2007, chapter 13): a group's weight is a linear
    function of its features plus a deviation of its own, which absorbs what networks disagree on. A
    coefficient therefore leaves its prior (all groups weigh 1) only as far as the networks agree.
    The noise of each network's rewards maximizes the marginal likelihood (MacKay 1992), so a
    network whose losses the errors do not explain has little influence.
    """

    mean: Floats
    curvature: float
    scales: tuple[Mapping[int, float], ...] = ()
    """For each fitted network, by series: decrease of its rewards per unit of damage."""

    @classmethod
    def of(cls, evidences: Sequence[Evidence]) -> Self:
        """Fit evaluated plans of several networks; with none, errors simply add up.

        Curvature and prior are chosen by cross-validation between networks.
        """
        one = np.eye(len(FEATURES))[0]
        # max() takes the first of the best: 0 without any evidence.
        curvature = max(CURVATURES, key=lambda value: agreement(cls(one, value), evidences))
        prior, reached = PRIORS[0], -np.inf
        for tried in PRIORS:
            correlations = [
                agreement(
                    cls._fit([*evidences[:i], *evidences[i + 1 :]], curvature, tried), [evidence]
                )
                for i, evidence in enumerate(evidences)
            ]
            value = float(np.mean(correlations)) if len(correlations) > 1 else 0.0
            if value > reached + LEAST_GAIN:
                prior, reached = tried, value
        return cls._fit(evidences, curvature, prior)

    @classmethod
    def _fit(cls, evidences: Sequence[Evidence], curvature: float, prior: float) -> Self:
        scaled = [_scaled(evidence, curvature, prior) for evidence in evidences]
        mean = _coefficients(evidences, scaled, prior)
        return cls(mean, curvature, tuple(part.scales for part in scaled))

    def weights(self, features: Floats) -> Floats:
        """Return the expected weights of groups, [groups], none below ``LEAST_WEIGHT``."""
        return np.maximum(features @ self.mean, LEAST_WEIGHT)

    def predict_damage(self, context: WalkContext) -> list[Floats]:
        """Return the expected damage by group and count, [size + 1] for each group."""
        weights = self.weights(features(context))
        pairs = zip(weights, context.errors, strict=True)
        return [weight * _with_curvature(curve, self.curvature) for weight, curve in pairs]


def _with_curvature(errors: Floats, curvature: float) -> Floats:
    bent: Floats = errors + curvature * errors**2
    return bent


def agreement(model: SharedRewardModel, evidences: Sequence[Evidence]) -> float:
    """Return the mean correlation of predicted damage and loss, [-1, 1].

    Within each series of each network; plans near its best count most (``_noise_factors``).
    """
    correlations = []
    for evidence in evidences:
        damage = _with_curvature(evidence.errors, model.curvature) @ model.weights(
            evidence.features
        )
        for rows in _series(evidence):
            weights = _noise_factors(evidence.rewards[rows]) ** -2
            pair = np.stack((damage[rows], -evidence.rewards[rows]))
            both = np.cov(pair, bias=True, aweights=weights)
            spreads = float(np.sqrt(both[0, 0] * both[1, 1]))
            correlations.append(float(both[0, 1]) / spreads if spreads > 1e-12 else 0.0)
    return float(np.mean(correlations)) if correlations else 0.0


def _series(evidence: Evidence) -> list[NDArray[np.bool_]]:
    return [evidence.series == number for number in np.unique(evidence.series)]


def _noise_factors(rewards: Floats) -> Floats:
    """Return factors of the noise of a series' rewards, [plans], growing away from the best.

    Rewards saturate there, and no plan of interest is there.
    """
    spread = max(float(rewards.std()), 1e-6)
    factors: Floats = 1 + ((rewards.max() - rewards) / spread) ** 2
    return factors


@dataclass(frozen=True, eq=False)
class _Scaled:
    """Evidence of one network on the scale common to all, [plans, ...]; see ``_scaled``."""

    errors: Floats
    rewards: Floats
    noise: Floats
    scales: dict[int, float]


def _scaled(evidence: Evidence, curvature: float, prior: float) -> _Scaled:
    """Find the scale and the noise of each series with the largest likelihood of its rewards.

    Errors and rewards are centered within each series; rewards and noise are divided by its scale,
    which makes the weights about 1.
    """
    errors, rewards = _with_curvature(evidence.errors, curvature), evidence.rewards.copy()
    noise, scales = np.ones(len(rewards)), {}
    for rows in _series(evidence):
        weights = _noise_factors(rewards[rows]) ** -2
        errors[rows] -= np.average(errors[rows], axis=0, weights=weights)
        rewards[rows] -= np.average(rewards[rows], weights=weights)
        scale, deviations = _likeliest(errors[rows], evidence.features, rewards[rows], prior)
        rewards[rows] /= scale
        noise[rows] = deviations / scale
        scales[int(evidence.series[rows][0])] = scale
    return _Scaled(errors, rewards, noise, scales)


def _likeliest(
    errors: Floats, features: Floats, rewards: Floats, prior: float
) -> tuple[float, Floats]:
    """Return the likeliest scale and noise [plans] of a centered series under the prior."""
    spread, expected = max(float(rewards.std()), 1e-6), -errors.sum(axis=1)
    design = errors @ features
    expectable = prior**2 * design @ design.T + SPREAD**2 * errors @ errors.T
    unit = spread / max(float(expected.std()), 1e-9)
    tried = [
        (_log_normal(rewards - scale * expected, scale**2 * expectable, noise), scale, noise)
        for scale in unit * np.geomspace(0.1, 3, 12)
        for noise in (part * spread * _noise_factors(rewards) for part in NOISES)
    ]
    _, scale, noise = max(tried, key=lambda candidate: candidate[0])
    return float(scale), noise


def _log_normal(residual: Floats, covariance: Floats, noise: Floats) -> float:
    """Logarithm of a normal density, up to a constant: covariance plus independent noise."""
    root = np.linalg.cholesky(covariance + np.diag(noise**2))
    whitened = np.linalg.solve(root, residual)
    return float(-np.log(np.diag(root)).sum() - whitened @ whitened / 2)


def _coefficients(evidences: Sequence[Evidence], scaled: Sequence[_Scaled], prior: float) -> Floats:
    """Solve for the coefficients of ``FEATURES``, jointly with the deviations of the groups."""
    width = len(FEATURES)
    groups = [len(evidence.features) for evidence in evidences]
    starts = width + np.concatenate(([0], np.cumsum(groups))).astype(int)
    precision = np.diag([prior**-2] * width + [SPREAD**-2] * sum(groups))
    right = precision @ np.eye(starts[-1])[0]
    for evidence, part, start, size in zip(evidences, scaled, starts, groups, strict=False):
        design = np.zeros((len(part.rewards), starts[-1]))
        design[:, :width] = -part.errors @ evidence.features
        design[:, start : start + size] = -part.errors
        weighted = design / part.noise[:, None] ** 2
        precision += design.T @ weighted
        right += weighted.T @ part.rewards
    mean: Floats = np.linalg.solve(precision, right)[:width]
    return mean
