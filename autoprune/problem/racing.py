"""Racing: the samples that plans are scored on, and when a plan is given up.

Samples that the dense network classifies confidently barely distinguish plans. Plans therefore run
on a part of the search split: harder samples are drawn with a higher chance and weighted by its
inverse (Horvitz and Thompson 1952). They are drawn one after another, which makes the first of them
a sample too. On these a plan races against the best so far, sample by sample (Maron and Moore 1994,
"Hoeffding races"; Birattari et al. 2002, F-Race), and stops where it is behind.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True)
class RacingConfig:
    """Part of the search split that plans run on, and when a plan is given up."""

    share: float = 0.5
    """Part of the split that is drawn."""
    least: int = 1024
    """Samples that are drawn at least; a split of no more is scored whole, without races."""
    floor: float = 0.15
    """Least chance of a sample to be drawn, relative to one of mean loss."""
    stops: tuple[float, ...] = (0.2, 0.3, 0.4, 0.6, 0.8)
    """Parts of the drawn samples after which a plan may be given up."""
    behind: float = 0.5
    """Standard errors behind the best so far at which a plan is given up: a plan just as good is
    with a chance of 0.31 at each stop, better ones less often. Cost and gain: docs/agent.md."""


@dataclass(frozen=True, eq=False)
class Subsample:
    """Samples in the order in which plans see them, and what the first of them say of all.

    ``order``: LongTensor [drawn], rows of the split. ``dense``: float64 [2, samples], loss and
    score of the dense network, those drawn first and in their order. ``chances``: [samples],
    likewise, in proportion to which samples were drawn.
    """

    order: Tensor
    dense: Tensor
    chances: Tensor
    config: RacingConfig

    @classmethod
    def draw(cls, dense: Tensor, config: RacingConfig, seed: int = 0) -> Self | None:
        """Draw by the dense network's losses and scores, [2, samples]; None for a small split.

        Sequential Poisson sampling (Ohlsson 1998): in the order of u / chance, u uniform. A
        chance in proportion to the spread of what is summed makes the error least (Neyman 1934);
        the root of the loss is near that.
        """
        losses = dense[0].clamp_min(0)
        drawn = max(config.least, round(config.share * len(losses)))
        if drawn >= len(losses) or not (dense.isfinite().all() and losses.sum() > 0):
            return None
        chances = losses.sqrt() + config.floor * losses.mean().sqrt()
        generator = torch.Generator().manual_seed(seed)
        uniform = torch.rand(len(losses), generator=generator, dtype=torch.float64)
        order = (uniform / chances).argsort()
        return cls(order[:drawn], dense[:, order], chances[order], config)

    @property
    def stops(self) -> tuple[int, ...]:
        """Numbers of samples after which a plan may have lost."""
        return tuple(round(part * len(self.order)) for part in self.config.stops)

    def estimate(self, seen: Tensor) -> Tensor:
        """Estimate loss and score on the whole split from the first samples, [2, n] -> [2].

        By what they differ from the dense network's, which are known for every sample.
        """
        weights, _ = self._weights(seen.shape[1])
        change: Tensor = (seen - self.dense[:, : seen.shape[1]]) @ weights
        return self.dense.mean(1) + change

    def behind(self, seen: Tensor, best: Tensor) -> tuple[float, float, float] | None:
        """Return loss, its standard error, and score if the first samples say that a plan lost.

        ``seen`` [2, n], ``best`` [2, drawn]: losses and scores. They are the best plan's and what
        this one differs by; it is never said to score better than what it lost to. Numbers that
        are not finite lose.
        """
        known, count = self.estimate(best), seen.shape[1]
        weights, chance = self._weights(count)
        apart = seen - best[:, :count]
        change = apart @ weights
        error = ((weights * (apart[0] - change[0])) ** 2 * (1 - chance)).sum().sqrt()
        if bool(change[0] <= self.config.behind * error):
            return None
        score = (known[1] + change[1].clamp_max(0)).clamp_min(0)
        return float(known[0] + change[0]), float(error), float(score)

    def _weights(self, count: int) -> tuple[Tensor, Tensor]:
        """Weights, with sum 1, of the first samples, and how likely each was to be among them."""
        chance = inclusion(self.chances, count)[:count]
        return (1 / chance) / (1 / chance).sum(), chance


def inclusion(chances: Tensor, count: int) -> Tensor:
    """Return probabilities in proportion to ``chances``, at most 1, that sum to ``count``."""
    found = torch.ones_like(chances)
    sure = torch.zeros_like(chances, dtype=torch.bool)
    while not sure.all():
        found[~sure] = chances[~sure] * ((count - sure.sum()) / chances[~sure].sum())
        over = found > 1
        if not over.any():
            break
        found[over] = 1.0
        sure |= over
    return found
