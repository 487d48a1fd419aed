"""How much a group's error matters to the reward, learned on several networks for any other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from autoprune.envs import features as portrait
from autoprune.envs.walk import WalkContext

Floats = NDArray[np.float64]

FEATURES: Final = ("constant", "depth", "depth squared", "readers", "size", "error")
"""What the weight of a group's error may depend on, each about -1 to 1 over common networks."""

SPREAD: Final = 0.5
"""Prior standard deviation of a group's weight around what its features say; 1 is the average."""

PRIORS: Final = (0.05, 0.2, 0.5)
"""Prior standard deviations of a feature's coefficient, from networks that differ to such that
agree."""

WORTH: Final = 0.05
"""Correlation on networks left out that a wider prior must add."""

CURVATURES: Final = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0)
"""What may be added of an error's square: small errors add up, while one large error is worse than
two of half its size, as the error curves alone would not have it."""

NOISES: Final = (0.1, 0.15, 0.2, 0.3, 0.45, 0.7, 1.0)
"""What the model may leave unexplained, as a part of the spread of a network's rewards."""

LEAST: Final = 0.1
"""No weight falls below it: error never helps."""


def features(context: WalkContext) -> Floats:
    """Describe the groups of a context, [groups, len(FEATURES)]; the same for every budget."""
    rows = context.own.astype(np.float64)
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


def imagine(context: WalkContext, rng: np.random.Generator) -> list[Floats]:
    """Return the damage by group and count in a world drawn before anything was evaluated.

    [size + 1] for each group. Errors matter by what groups are like and by chance, and add up after
    some power.
    """
    described = features(context)
    logs = described @ rng.normal(0, 0.4, described.shape[1]) + rng.normal(
        0, SPREAD, len(described)
    )
    power = np.exp(rng.uniform(np.log(0.7), np.log(2.0)))
    return [np.exp(log) * curve**power for log, curve in zip(logs, context.errors, strict=True)]


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
    """What evaluations say of how errors matter.

    ``mean`` [len(FEATURES)]: how the weight of a group's error depends on what the group is like.
    ``curvature``: how much of its square is added to an error.

    Hierarchical linear regression (Gelman and Hill 2007, chapter 13): a group's weight is what its
    features say plus a deviation of its own, and what networks disagree about ends up in those. So
    a coefficient moves off its prior (all groups weigh 1) only as far as the networks agree. How
    much noise each network's rewards hold is that of the largest marginal likelihood (MacKay 1992):
    one whose losses the errors do not explain has little say.
    """

    mean: Floats
    curvature: float
    scales: tuple[Mapping[int, float], ...] = ()
    """Of each network that was fitted, by series: what a damage of 1 takes off its rewards."""

    @classmethod
    def of(cls, evidences: Sequence[Evidence]) -> Self:
        """Fit evaluated plans of several networks; with none, errors add up as they are.

        Curvature and prior are those by which plans of a network are best foretold by the others.
        """
        one = np.eye(len(FEATURES))[0]
        # The first of the best, so 0 if there is nothing to tell by.
        curvature = max(CURVATURES, key=lambda value: agreement(cls(one, value), evidences))
        prior, reached = PRIORS[0], -np.inf
        for tried in PRIORS:
            found = [
                agreement(cls._fit([*evidences[:i], *evidences[i + 1 :]], curvature, tried), [item])
                for i, item in enumerate(evidences)
            ]
            value = float(np.mean(found)) if len(found) > 1 else 0.0
            if value > reached + WORTH:
                prior, reached = tried, value
        return cls._fit(evidences, curvature, prior)

    @classmethod
    def _fit(cls, evidences: Sequence[Evidence], curvature: float, prior: float) -> Self:
        found = [_explain(item, curvature, prior) for item in evidences]
        mean = _shared(evidences, found, prior)
        return cls(mean, curvature, tuple(each.scales for each in found))

    def weights(self, features: Floats) -> Floats:
        """Return the expected weights of groups, [groups], none below ``LEAST``."""
        return np.maximum(features @ self.mean, LEAST)

    def damage(self, context: WalkContext) -> list[Floats]:
        """Return the expected damage by group and count, [size + 1] for each group."""
        weights = self.weights(features(context))
        pairs = zip(weights, context.errors, strict=True)
        return [weight * _bent(curve, self.curvature) for weight, curve in pairs]


def _bent(errors: Floats, curvature: float) -> Floats:
    bent: Floats = errors + curvature * errors**2
    return bent


def agreement(belief: SharedBelief, evidences: Sequence[Evidence]) -> float:
    """Return how well a belief orders plans: the mean correlation of damage and loss, [-1, 1].

    Within each series of each network; plans near its best count most (``_doubt``).
    """
    found = []
    for item in evidences:
        damage = _bent(item.errors, belief.curvature) @ belief.weights(item.features)
        for rows in _series(item):
            weights = _doubt(item.rewards[rows]) ** -2
            pair = np.stack((damage[rows], -item.rewards[rows]))
            both = np.cov(pair, bias=True, aweights=weights)
            spreads = float(np.sqrt(both[0, 0] * both[1, 1]))
            found.append(float(both[0, 1]) / spreads if spreads > 1e-12 else 0.0)
    return float(np.mean(found)) if found else 0.0


def _series(item: Evidence) -> list[NDArray[np.bool_]]:
    return [item.series == number for number in np.unique(item.series)]


def _doubt(rewards: Floats) -> Floats:
    """Return how much less each plan of a series says the further it is below the best.

    Rewards saturate there, and no plan anyone would take is there.
    """
    spread = max(float(rewards.std()), 1e-6)
    doubt: Floats = 1 + ((rewards.max() - rewards) / spread) ** 2
    return doubt


@dataclass(frozen=True, eq=False)
class _Explained:
    """One network's evidence made comparable with others', [plans, ...]: see ``_explain``."""

    errors: Floats
    rewards: Floats
    noise: Floats
    scales: dict[int, float]


def _explain(item: Evidence, curvature: float, prior: float) -> _Explained:
    """Find the scale and the noise of each series that make its rewards likeliest.

    Errors and rewards are centered within each series; rewards and noise are divided by its scale,
    so that weights are about 1.
    """
    errors, rewards = _bent(item.errors, curvature), item.rewards.copy()
    noise, scales = np.ones(len(rewards)), {}
    for rows in _series(item):
        weights = _doubt(rewards[rows]) ** -2
        errors[rows] -= np.average(errors[rows], axis=0, weights=weights)
        rewards[rows] -= np.average(rewards[rows], weights=weights)
        scale, found = _scaled(errors[rows], item.features, rewards[rows], prior)
        rewards[rows] /= scale
        noise[rows] = found / scale
        scales[int(item.series[rows][0])] = scale
    return _Explained(errors, rewards, noise, scales)


def _scaled(
    errors: Floats, features: Floats, rewards: Floats, prior: float
) -> tuple[float, Floats]:
    """Return the most likely scale and noise [plans] of a centered series under the prior."""
    spread, expected = max(float(rewards.std()), 1e-6), -errors.sum(axis=1)
    design = errors @ features
    expectable = prior**2 * design @ design.T + SPREAD**2 * errors @ errors.T
    unit = spread / max(float(expected.std()), 1e-9)
    tried = [
        (_log_normal(rewards - scale * expected, scale**2 * expectable, noise), scale, noise)
        for scale in unit * np.geomspace(0.1, 3, 12)
        for noise in (part * spread * _doubt(rewards) for part in NOISES)
    ]
    _, scale, noise = max(tried, key=lambda item: item[0])
    return float(scale), noise


def _log_normal(residual: Floats, covariance: Floats, noise: Floats) -> float:
    """Logarithm of a normal density, up to a constant: covariance plus independent noise."""
    root = np.linalg.cholesky(covariance + np.diag(noise**2))
    whitened = np.linalg.solve(root, residual)
    return float(-np.log(np.diag(root)).sum() - whitened @ whitened / 2)


def _shared(evidences: Sequence[Evidence], found: Sequence[_Explained], prior: float) -> Floats:
    """Solve for the coefficients of ``FEATURES``, the groups' own deviations beside them."""
    width = len(FEATURES)
    groups = [len(item.features) for item in evidences]
    starts = width + np.concatenate(([0], np.cumsum(groups))).astype(int)
    precision = np.diag([prior**-2] * width + [SPREAD**-2] * sum(groups))
    right = precision @ np.eye(starts[-1])[0]
    for item, each, start, size in zip(evidences, found, starts, groups, strict=False):
        design = np.zeros((len(each.rewards), starts[-1]))
        design[:, :width] = -each.errors @ item.features
        design[:, start : start + size] = -each.errors
        weighted = design / each.noise[:, None] ** 2
        precision += design.T @ weighted
        right += weighted.T @ each.rewards
    mean: Floats = np.linalg.solve(precision, right)[:width]
    return mean
