"""Exploration noise: decaying normal noise, truncated to the range of actions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Decay:
    """Schedule of the standard deviation: ``start * rate**episode``, at least ``least``.

    AMC (He et al. 2018, section 4) starts at 0.5 too, and decays after 100 random episodes; here
    imagined walks take their place.
    """

    start: float = 0.5
    rate: float = 0.95
    least: float = 0.05

    def __call__(self, episode: int) -> float:
        """Return the standard deviation in an episode, counted from 0."""
        return max(self.least, self.start * self.rate**episode)


def truncated_normal(
    mean: NDArray[np.float32], sigma: float | NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Draw from normal distributions around ``mean``, each truncated to [-1, 1].

    By rejection; values still outside after 16 draws are clipped. Clipping at once would accumulate
    probability at the ends of the range, where plans are most extreme.
    """
    scale = np.broadcast_to(sigma, mean.shape)
    drawn = rng.normal(mean, scale)
    for _ in range(16):
        outside = np.abs(drawn) > 1
        if not outside.any():
            break
        drawn[outside] = rng.normal(mean[outside], scale[outside])
    clipped: NDArray[np.float32] = np.clip(drawn, -1, 1).astype(np.float32)
    return clipped
