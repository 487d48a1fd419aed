"""A stream that training takes a new pass of in every epoch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.data import DataLoader, IterableDataset

from autoprune.data.randomness import Randomness, mixed
from autoprune.data.read_split import joined
from autoprune.data.reader import as_tensors
from autoprune.data.split import Split, check_request, finished
from autoprune.data.task import Batch
from autoprune.errors import UsageError
from autoprune.foundation.user_code import blamed

_BATCH = 256
"""Samples per batch of a stream of samples."""


def batches_of(source: Iterable[Any]) -> Iterable[Any]:
    """Return the batches of a source: those of a loader around a stream of samples."""
    return DataLoader(source, batch_size=_BATCH) if isinstance(source, IterableDataset) else source


def passes_differ(name: str, source: Iterable[Any]) -> bool:
    """Return whether two passes of a source begin differently; False if it has only one."""
    if isinstance(source, (Iterator, list)):
        return False
    first, second = (tree_leaves(next(one_pass(name, source, seed))) for seed in (1, 2))
    same = len(first) == len(second) and all(map(torch.equal, first, second))
    return not same


def one_pass(name: str, source: Iterable[Any], seed: int) -> Iterator[Batch]:
    """Yield the batches of one pass, as tensors, under random states that follow from ``seed``.

    They are left as they were whenever a batch is handed out.
    """
    random = Randomness(source)
    batches: Iterator[Any] | None = None
    go_on = None
    while True:
        with random.kept(), blamed(f"{name} cannot be read"):
            if go_on is None:
                random.seed(seed)
            else:
                go_on()
            batches = iter(batches_of(source)) if batches is None else batches
            try:
                batch = as_tensors(next(batches))
            except StopIteration:
                return
            go_on = random.mark()
        yield batch


@dataclass(frozen=True, eq=False)
class StreamSplit:
    """Samples of one pass, held in memory, and their source.

    Where training reads, every pass is a new one, in the order of the source. Otherwise the samples
    are those that are held.
    """

    held: Split
    source: Iterable[Any]

    @property
    def name(self) -> str:
        """Name for messages."""
        return self.held.name

    def __len__(self) -> int:
        return len(self.held)

    @property
    def sample(self) -> str:
        """Description of one sample."""
        return self.held.sample

    @property
    def probe(self) -> Batch:
        """All samples that are held."""
        return self.held.probe

    def batches(
        self, size: int, *, seed: int | None = None, augment: bool = False, first: int = 0
    ) -> Iterator[Batch]:
        """Yield batches; see :class:`autoprune.data.samples.Samples`."""
        check_request(size, seed, augment)
        if seed is None or not augment:
            return self.held.batches(size, seed=seed, first=first)
        return islice(self._anew(size, seed), first, None)

    def take(self, count: int, seed: int | None = None) -> Split:
        """Return the first ``count`` samples, or ``count`` different ones drawn by ``seed``."""
        return self.held.take(count, seed)

    def part(self, start: int, end: int) -> Split:
        """Return the samples from ``start`` up to ``end``."""
        return self.held.part(start, end)

    def rows(self, index: Tensor) -> Split:
        """Return the samples at ``index``, in that order."""
        return self.held.rows(index)

    def to(self, device: torch.device | str) -> Self:
        """Return the split with what it holds in memory on ``device``."""
        return replace(self, held=self.held.to(device))

    def called(self, name: str) -> Self:
        """Return the same samples under another name."""
        return replace(self, held=self.held.called(name))

    def labels(self, index: Tensor) -> Tensor | None:
        """Return the class labels of those at ``index``, None if samples have another form."""
        return self.held.labels(index)

    def check_finite(self) -> None:
        """Raise UsageError if a float among the samples that are held is NaN or infinite."""
        self.held.check_finite()

    def update(self, digest: Any) -> None:
        """Feed the samples that are held to a hashlib digest."""
        self.held.update(digest)

    def _anew(self, size: int, seed: int) -> Iterator[Batch]:
        """Yield as many samples as are held, in equal batches, of as many passes as that takes."""
        source, waiting = self._endless(seed), None
        for part in np.array_split(np.arange(len(self)), math.ceil(len(self) / size)):
            count = len(part)
            while waiting is None or len(tree_leaves(waiting)[0]) < count:
                more = next(source)
                waiting = more if waiting is None else joined(self.name, [waiting, more])
            yield finished(tree_map(lambda leaf, end=count: leaf[:end], waiting), self.held.form)
            waiting = tree_map(lambda leaf, start=count: leaf[start:], waiting)

    def _endless(self, seed: int) -> Iterator[Batch]:
        number = 0
        while True:
            empty = True
            for batch in one_pass(self.name, self.source, mixed(seed, number)):
                Split(batch, name=self.name).check_finite()
                empty = False
                yield batch
            if empty:
                raise UsageError(
                    f"{self.name} yields nothing in another pass", "let __iter__ begin again"
                )
            number += 1
