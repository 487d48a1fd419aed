"""Racing: scoring plans on a weighted subsample, and giving up those that fall behind.

Samples that the dense network classifies confidently barely distinguish plans. Plans therefore run
on a part of the search split: harder samples are drawn with a higher probability and weighted by
its inverse (Horvitz and Thompson 1952). They are drawn in sequence, so the first n of them are a
sample too. On these a plan races against the best so far, sample by sample (Maron and Moore 1994,
"Hoeffding races"; Birattari et al. 2002, F-Race), and stops where it is behind.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True)
class RacingConfig:
    """Size of the subsample, and the rule for giving plans up."""

    share: float = 0.5
    """Share of the split that is drawn."""
    least: int = 1024
    """Least number of samples drawn; a split of no more is scored whole, without races."""
    floor: float = 0.15
    """Least weight of a sample in the draw, relative to one of mean loss."""
    stops: tuple[float, ...] = (0.2, 0.3, 0.4, 0.6, 0.8)
    """Shares of the drawn samples after which a plan may be given up."""
    behind: float = 0.5
    """Standard errors behind the best so far at which a plan is given up. An equally good plan is
    given up with probability 0.31 at each stop, a better one less often (docs/agent.md)."""


@dataclass(frozen=True, eq=False)
class Subsample:
    """Subsample of a split, in the order in which plans run on it, with estimates from its start.

    ``order``: LongTensor [drawn], rows of the split. ``dense``: float64 [2, samples], loss and
    score of the dense network, drawn samples first and in their order. ``chances``: [samples], in
    the same order, proportional to the probabilities of being drawn.
    """

    order: Tensor
    dense: Tensor
    chances: Tensor
    config: RacingConfig

    @classmethod
    def draw(cls, dense: Tensor, config: RacingConfig, seed: int = 0) -> Self | None:
        """Draw by the dense network's losses and scores, [2, samples]; None for a small split.

        Sequential Poisson sampling (Ohlsson 1998): in the order of u / chance, u uniform. The
        error is least with chances proportional to the spread of the summed values (Neyman 1934),
        which the root of the loss approximates.
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
        """Numbers of samples after which a plan may be given up."""
        return tuple(round(part * len(self.order)) for part in self.config.stops)

    def estimate(self, seen: Tensor) -> Tensor:
        """Estimate loss and score on the whole split from the first samples, [2, n] -> [2].

        Difference estimator: the dense network's are known for every sample.
        """
        weights, _ = self._weights(seen.shape[1])
        change: Tensor = (seen - self.dense[:, : seen.shape[1]]) @ weights
        return self.dense.mean(1) + change

    def behind(self, seen: Tensor, best: Tensor) -> tuple[float, float, float] | None:
        """Return loss, its standard error, and score of a plan that has lost, else None.

        ``seen`` [2, n], ``best`` [2, drawn]: losses and scores. Loss and score are the best plan's
        plus the difference on the first samples, the score at most the best plan's. Numbers that
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
        """Return weights of the first samples, with sum 1, and their inclusion probabilities."""
        chance = inclusion(self.chances, count)[:count]
        return (1 / chance) / (1 / chance).sum(), chance


def inclusion(chances: Tensor, count: int) -> Tensor:
    """Return probabilities in proportion to ``chances``, at most 1, that sum to ``count``."""
    probabilities = torch.ones_like(chances)
    sure = torch.zeros_like(chances, dtype=torch.bool)
    while not sure.all():
        probabilities[~sure] = chances[~sure] * ((count - sure.sum()) / chances[~sure].sum())
        over = probabilities > 1
        if not over.any():
            break
        probabilities[over] = 1.0
        sure |= over
    return probabilities
