"""Loader: the batches of a split, as a training loop of a user's own reads them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from autoprune.data.samples import Samples
from autoprune.data.task import Batch
from autoprune.foundation.seeds import Seeds


@dataclass
class Loader:
    """Batches of a split; every iteration is an epoch of its own.

    With a ``seed`` batches are shuffled anew and augmented in every epoch, as training reads them;
    without, they come in order. ``samples`` is the split itself, for batches of another size.
    """

    samples: Samples
    batch_size: int = 64
    seed: int | None = None
    _epoch: int = field(default=0, repr=False)

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches of one epoch."""
        if self.seed is None:
            return self.samples.batches(self.batch_size)
        seed, self._epoch = Seeds(self.seed).epoch(self._epoch), self._epoch + 1
        return self.samples.batches(self.batch_size, seed=seed, augment=True)

    def __len__(self) -> int:
        """Batches of one epoch."""
        return -(-len(self.samples) // self.batch_size)
