"""Seeds of the random streams of a run, all derived from one number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

_STRIDE: Final = 0x9E3779B97F4A7C15
"""Distance between the steps of neighboring seeds: trainings share no dropout masks."""


@dataclass(frozen=True)
class Seeds:
    """Seed of each random stream of a run whose seed is ``base``.

    Streams that draw different things from generators of their own may share a number; the
    properties say which stream a caller draws from. The numbers never change between versions:
    a stored run repeats bit for bit.
    """

    base: int

    @property
    def splits(self) -> int:
        """Division of what is held out into search and validation split."""
        return self.base

    @property
    def weights(self) -> int:
        """Initial weights of a network."""
        return self.base

    @property
    def calibration(self) -> int:
        """Calibration samples, and patches that rankings draw from them."""
        return self.base

    @property
    def searcher(self) -> int:
        """Everything that a searcher draws."""
        return self.base

    @property
    def training(self) -> int:
        """Order of the batches, augmentation and dropout; see ``epoch`` and ``step``."""
        return self.base

    @property
    def narrow(self) -> int:
        """The seed for generators that take 32 bits (numpy's legacy one, stable-baselines3)."""
        return self.base % 2**32

    def epoch(self, number: int) -> int:
        """Order and augmentation of an epoch, counted from 0."""
        return int(np.random.SeedSequence([self.training, number]).generate_state(1)[0])

    def step(self, number: int) -> int:
        """Dropout of a step, counted from 0."""
        return (self.training * _STRIDE + number) % 2**64
