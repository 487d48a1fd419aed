"""Tuning constants of a search that are no options of the command line."""

from __future__ import annotations

from dataclasses import dataclass, field

from autoprune.problem.pool import PoolConfig
from autoprune.problem.racing import RacingConfig
from autoprune.ranking.reconstruction import ReconstructionConfig
from autoprune.training.config import FitConfig


@dataclass(frozen=True)
class FinalistsConfig:
    """Choice of the delivered plan among the best that a search found."""

    count: int = 5
    """Best plans that are built and scored again on the validation split: the best of many noisy
    scores is optimistic."""


@dataclass(frozen=True)
class SampleConfig:
    """Training samples that are used without their labels being learned."""

    ranking: int = 1000
    """For rankings, and for the batch-norm statistics of final networks."""
    evaluation: int = 64
    """For the batch-norm statistics of every evaluation."""


@dataclass(frozen=True)
class ScoredFitConfig:
    """Fit of every network that is scored where branches may go.

    Without it, the loss of several branches is many times what each costs alone, and the order is
    not that of delivered networks.
    """

    samples: int = 256
    """Training samples that it is fitted to."""
    reconstruction: ReconstructionConfig = field(
        default_factory=lambda: ReconstructionConfig(rows=4000)
    )


@dataclass(frozen=True)
class Tuning:
    """Tuning constants of the stages of a search; the defaults are what is documented."""

    racing: RacingConfig = field(default_factory=RacingConfig)
    pool: PoolConfig = field(default_factory=PoolConfig)
    finalists: FinalistsConfig = field(default_factory=FinalistsConfig)
    samples: SampleConfig = field(default_factory=SampleConfig)
    fit: ScoredFitConfig = field(default_factory=ScoredFitConfig)
    training: FitConfig = field(default_factory=lambda: FitConfig(epochs=20, batch_size=64))
    """Training of the embedded network on the spot."""
    finetuning: FitConfig | None = None
    """Fine-tuning after pruning; the recipe of the network if None."""
