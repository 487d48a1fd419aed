"""Reward model: Bayesian linear regression of rewards on the errors of groups."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from autoprune.foundation.arrays import Floats

SPREAD = 0.5
"""Prior standard deviation of a group's weight, relative to the weight all groups share."""

NOISE = 0.15
"""Standard deviation of the noise, relative to the spread of the rewards."""

FLOOR = 0.02
"""Least coefficient of a group, relative to their mean: no group is free to prune."""


@dataclass(frozen=True, eq=False)
class RewardModel:
    """Gaussian posterior over the model ``reward = intercept - weights @ errors``.

    Bayesian linear regression (Bishop 2006, section 3.3). A priori all groups have one common
    weight, which is fitted too. ``mean`` [1 + groups]; ``root @ root.T`` is the covariance.
    """

    mean: Floats
    root: Floats

    @classmethod
    def of(cls, errors: Floats, rewards: Floats, doubts: Floats | None = None) -> Self:
        """Fit errors [plans, groups] to rewards [plans]; plans far below the best count less.

        Far from the best, rewards saturate at chance level, which no linear model can follow.
        ``doubts`` [plans]: standard errors of the rewards, 0 for exact ones.
        """
        groups = errors.shape[1]
        weight = _shared_weight(errors.sum(axis=1), rewards)
        spread = max(float(rewards.std()), 1e-6)
        noise = NOISE * spread * (1 + (rewards.max() - rewards) / spread)
        if doubts is not None:
            noise = np.hypot(noise, doubts)
        center = float(np.average(rewards + weight * errors.sum(axis=1), weights=noise**-2))
        prior = np.concatenate(([center], np.full(groups, -weight)))
        precision = np.concatenate(([spread**-2], np.full(groups, (SPREAD * weight) ** -2)))
        design = np.column_stack((np.ones(len(errors)), errors))
        weighted = design / noise[:, None] ** 2
        covariance = np.linalg.inv(np.diag(precision) + design.T @ weighted)
        covariance = (covariance + covariance.T) / 2
        mean = covariance @ (precision * prior + weighted.T @ rewards)
        values, vectors = np.linalg.eigh(covariance)
        return cls(mean, vectors * np.sqrt(np.maximum(values, 0)))

    def expect(self, errors: Floats) -> Floats:
        """Return the expected rewards of plans with these errors [plans, groups]."""
        expected: Floats = self.mean[0] + errors @ self.mean[1:]
        return expected

    def sample(self, rng: np.random.Generator) -> Self:
        """Draw one model from the posterior, without uncertainty of its own (Thompson 1933)."""
        drawn = self.mean + self.root @ rng.standard_normal(len(self.mean))
        return replace(self, mean=drawn, root=np.zeros_like(self.root))

    @property
    def coefficients(self) -> Floats:
        """Weights of the groups' errors, [groups]: positive, since error never helps."""
        weights = -self.mean[1:]
        least = FLOOR * float(np.abs(weights).mean()) + 1e-12
        positive: Floats = np.maximum(weights, least)
        return positive


def _shared_weight(totals: Floats, rewards: Floats) -> float:
    """Slope of the rewards against total error, kept positive: error never helps."""
    spread = totals.std()
    if len(totals) < 2 or spread < 1e-9:
        return 1.0 / max(float(np.mean(totals)), 1.0)
    slope = -float(np.cov(totals, rewards, bias=True)[0, 1]) / float(spread) ** 2
    return max(slope, 0.1 * float(rewards.std() / spread), 1e-6)
