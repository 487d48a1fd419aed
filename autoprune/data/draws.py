"""Rows that a user's sampler draws: which there are, and the order of a pass."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any, Final

import numpy as np
from torch.utils.data import RandomSampler, WeightedRandomSampler

from autoprune.data.randomness import Randomness, mixed
from autoprune.data.reader import FIXED, Rows
from autoprune.errors import UsageError
from autoprune.foundation.user_code import blamed

_PASSES: Final = 3
"""Passes of an unknown sampler that show which rows it draws from."""

_ENDLESS: Final = 4
"""A sampler that draws more than so many times the rows of its data set never ends."""

_FRUITLESS: Final = 10
"""Passes in a row that may bring no row to train on."""


@dataclass(frozen=True, eq=False)
class Draws:
    """A user's sampler, or batch sampler, over a data set of ``size`` rows."""

    name: str
    sampler: Any
    size: int

    def universe(self) -> Rows:
        """Return the rows it may draw, in ascending order."""
        if isinstance(self.sampler, WeightedRandomSampler):
            return np.flatnonzero(self.sampler.weights.numpy() > 0).astype(np.int64)
        if isinstance(self.sampler, RandomSampler):
            return np.arange(self.size, dtype=np.int64)
        seeds = [mixed(FIXED, number) for number in range(_PASSES)]
        return np.unique(np.concatenate([self._pass(seed) for seed in seeds]))

    def length(self) -> int:
        """Return the number of rows that one pass draws, repeated ones counted again."""
        return len(self._pass(FIXED))

    def rows(self, seed: int, allowed: Rows, count: int) -> Rows:
        """Draw ``count`` rows of those ``allowed``, in as many passes as that takes."""
        inside = np.zeros(self.size, dtype=bool)
        inside[allowed] = True
        drawn: list[Rows] = []
        found = number = fruitless = 0
        while found < count:
            rows = self._pass(mixed(seed, number))
            rows = rows[inside[rows]]
            fruitless = 0 if len(rows) else fruitless + 1
            if fruitless == _FRUITLESS:
                raise UsageError(
                    f"the sampler of {self.name} draws only rows that are held out",
                    "give splits of your own: train, search, validation and test",
                )
            drawn.append(rows)
            found += len(rows)
            number += 1
        order = np.concatenate(drawn)[:count]
        return np.random.default_rng(seed).permutation(order) if self._constant else order

    @cached_property
    def _constant(self) -> bool:
        """Whether every pass is the same: it only chooses, and shuffling is left to us."""
        return np.array_equal(self._pass(mixed(FIXED, 1)), self._pass(mixed(FIXED, 2)))

    def _pass(self, seed: int) -> Rows:
        random = Randomness(self.sampler)
        most = _ENDLESS * self.size
        with random.kept(), blamed(f"the sampler of {self.name} fails"):
            random.seed(seed)
            if hasattr(self.sampler, "set_epoch"):
                self.sampler.set_epoch(seed % 2**31)
            rows = np.fromiter(islice(_flat(self.sampler), most + 1), dtype=np.int64)
        if len(rows) > most:
            rows = rows[: self.size]
        strange = rows[(rows < 0) | (rows >= self.size)]
        if len(strange) or not len(rows):
            drawn = f"row {strange[0]} of {self.size:,}" if len(strange) else "nothing"
            raise UsageError(f"the sampler of {self.name} draws {drawn}", "mend the sampler")
        return rows


def _flat(sampler: Iterable[Any]) -> Iterator[int]:
    """Yield the rows that a sampler, or batch by batch a batch sampler, draws."""
    for entry in sampler:
        yield from map(int, entry if np.ndim(entry) else [entry])
