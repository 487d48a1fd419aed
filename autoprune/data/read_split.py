"""Splits that are read row by row, as often as they are needed."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final, Self

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from autoprune.data.draws import Draws
from autoprune.data.labels import class_labels, declared_labels
from autoprune.data.randomness import mixed
from autoprune.data.reader import FIXED, ONE_FORM, Order, Reader, Rows
from autoprune.data.samples import Samples
from autoprune.data.split import ImageForm, Split, check_request, finished
from autoprune.data.task import Batch
from autoprune.errors import UsageError

PROBE: Final = 256
"""Rows that stand for all where reading all of them takes too long."""

PROBED: Final = 2**26
"""Most bytes of them, so that there are fewer where samples are large."""

HELD: Final = 2**28
"""Most bytes of a split without augmentation that is held in memory after it was read."""

_BATCH: Final = 64
"""Rows that are read at a time where the reader chooses."""


@dataclass(frozen=True, eq=False)
class ReadSplit:
    """Rows of a data set that are read each time they are drawn.

    - ``reader`` reads as training does, ``plain`` without augmentation where that can be had.
    - ``index``: the rows, in order.
    - ``draws``: the user's sampler, which chooses among them where training reads; an epoch then
      has ``count`` samples.
    - ``form``: as in :class:`autoprune.data.Split`.

    Without augmentation the random states of a row follow from its number alone, so that it is the
    same every time; with it, from the seed of the pass and the place in it.
    """

    reader: Reader
    plain: Reader
    index: Rows
    name: str = "split"
    draws: Draws | None = None
    count: int | None = None
    form: ImageForm | None = None

    def __len__(self) -> int:
        return len(self.index) if self.count is None else self.count

    @property
    def sample(self) -> str:
        """Description of one sample: kind and shape of every tensor in it."""
        return Split(self._first).sample

    @property
    def nbytes(self) -> float:
        """Bytes that all samples would take in memory."""
        known = tree_leaves(self._first)
        return sum(float(leaf.nbytes) for leaf in known) / len(known[0]) * len(self)

    @cached_property
    def _first(self) -> Batch:
        return self._read(self.index[:2])

    @cached_property
    def probe(self) -> Batch:
        """At most ``PROBE`` rows, drawn by a fixed seed, in order and without normalization."""
        fitting = int(PROBED * len(self) / max(1, self.nbytes))
        return self._read(self.probed(min(PROBE, max(2, fitting))))

    def probed(self, count: int) -> Rows:
        """Return ``count`` rows, drawn by a fixed seed, in order; all if there are fewer."""
        if count >= len(self.index):
            return self.index
        drawn = np.random.default_rng(FIXED).choice(len(self.index), count, replace=False)
        return self.index[np.sort(drawn)]

    def batches(
        self, size: int, *, seed: int | None = None, augment: bool = False, first: int = 0
    ) -> Iterator[Batch]:
        """Yield batches; see :class:`autoprune.data.samples.Samples`."""
        check_request(size, seed, augment)
        orders = self._orders(size, seed, augment)[first:]
        batches = (self.reader if augment else self.plain).read(orders)
        for order, batch in zip(orders, batches, strict=True):
            generator = None
            if augment:
                generator = torch.Generator().manual_seed(mixed(order.seed, order.start or 0))
            yield finished(batch, self.form, generator)

    def take(self, count: int, seed: int | None = None) -> Self:
        """Return the first ``count`` samples, or ``count`` different ones drawn by ``seed``."""
        if seed is None:
            return self.part(0, count)
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed))
        return self.rows(order[:count])

    def part(self, start: int, end: int) -> Self:
        """Return the samples from ``start`` up to ``end``."""
        return self._of(self.index[: len(self)][start:end])

    def rows(self, index: Tensor) -> Self:
        """Return the samples at ``index``, in that order."""
        return self._of(self.index[: len(self)][index.cpu().numpy()])

    def called(self, name: str) -> Self:
        """Return the same samples under another name."""
        return replace(self, name=name)

    def labels(self, index: Tensor) -> Tensor | None:
        """Return the class labels of those at ``index``, None if samples have another form.

        All of them where the data set declares labels that are those of its samples; else those of
        at most ``PROBE``.
        """
        if class_labels(self.probe) is None:
            return None
        declared = self.declared
        if declared is not None:
            return declared[torch.from_numpy(self.index)[index]]
        whole = len(index) == len(self.index)
        return class_labels(self.probe if whole else self.rows(index).probe)

    @cached_property
    def declared(self) -> Tensor | None:
        """Labels of all rows of the data set, if it declares those that its samples have."""
        found, known = class_labels(self.probe), declared_labels(self.plain.dataset)
        if found is None or known is None:
            return None
        at = known[torch.from_numpy(self.probed(len(found)))]
        return known if torch.equal(at, found.long()) else None

    def to(self, device: torch.device | str) -> Self:
        """Return the split itself: batches are moved as they are drawn."""
        return self

    def check_finite(self) -> None:
        """Do nothing: every batch is checked as it is read."""

    def update(self, digest: Any) -> None:
        """Feed the rows, and the values of the ``probe``, to a hashlib digest.

        Values that differ when a row is read again say nothing about the data and are left out.
        """
        digest.update(f"{len(self)} {self.sample} {self.form}".encode())
        digest.update(hashlib.sha256(self.index.tobytes()).digest())
        if self.steady:
            Split(self.steady).update(digest)

    @cached_property
    def steady(self) -> tuple[Tensor, ...]:
        """Those leaves of the probe that are the same when they are read again."""
        probe = tree_leaves(self.probe)
        again = tree_leaves(self._read(self.probed(len(probe[0]))[:_BATCH]))
        pairs = zip(probe, again, strict=True)
        return tuple(leaf for leaf, other in pairs if torch.equal(leaf[: len(other)], other))

    @property
    def unsteady(self) -> bool:
        """Whether values differ when they are read again."""
        return len(self.steady) < len(tree_leaves(self.probe))

    def _read(self, rows: Rows) -> Batch:
        """Read rows without augmentation, into one batch."""
        chunks = [Order(rows[at : at + _BATCH], FIXED) for at in range(0, len(rows), _BATCH)]
        return joined(self.plain.name, list(self.plain.read(chunks)))

    def _of(self, index: Rows) -> Self:
        return replace(self, index=index, count=None)

    def _orders(self, size: int, seed: int | None, augment: bool) -> list[Order]:
        rows, length = self.index[: len(self)], len(self)
        if seed is None:
            return [Order(rows[at : at + size], FIXED) for at in range(0, length, size)]
        if augment and self.draws is not None:
            rows = self.draws.rows(seed, self.index, length)
        else:
            shuffled = torch.randperm(length, generator=torch.Generator().manual_seed(seed))
            rows = rows[shuffled.numpy()]
        parts = np.array_split(rows, math.ceil(length / size))
        if not augment:
            return [Order(part, FIXED) for part in parts]
        starts = np.cumsum([0, *map(len, parts)]).tolist()
        return [Order(part, seed, start) for part, start in zip(parts, starts, strict=False)]


def joined(name: str, batches: Sequence[Batch]) -> Batch:
    """Join batches to one; raise UsageError if their samples differ in form."""
    with _one_form(name):
        return tree_map(lambda *leaves: torch.cat(leaves), *batches)


@contextmanager
def _one_form(name: str) -> Iterator[None]:
    try:
        yield
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(
            f"{name} cannot be read: {type(error).__name__}: {reason}",
            ONE_FORM,
        ) from None


def held(split: Samples, most: int = HELD) -> Samples:
    """Return a split, without augmentation, in memory if it takes at most ``most`` bytes.

    Raises UsageError if it cannot be read.
    """
    if not isinstance(split, ReadSplit) or split.nbytes > most:
        return split
    whole, done = None, 0
    for batch in replace(split, form=None).batches(_BATCH):
        if whole is None:  # filled as it is read: joined in the end, it would be there twice
            whole = tree_map(lambda leaf: leaf.new_empty(len(split), *leaf.shape[1:]), batch)
        count = len(tree_leaves(batch)[0])
        place = tree_map(lambda leaf, at=done, end=done + count: leaf[at:end], whole)
        _copied(split.plain.name, place, batch)
        done += count
    return Split(whole, split.form, split.name)


def _copied(name: str, place: Batch, batch: Batch) -> None:
    """Copy a batch to its place; raise UsageError if its samples have another form."""

    def fill(to: Tensor, leaf: Tensor) -> None:
        if to.shape != leaf.shape or to.dtype != leaf.dtype:
            raise ValueError(f"samples of shape {list(to.shape[1:])} and {list(leaf.shape[1:])}")
        to.copy_(leaf)

    with _one_form(name):
        tree_map(fill, place, batch)


def settled(split: Samples) -> Samples:
    """Return ``held(split)``, with a key if its values differ whenever it is read."""
    settled = held(split)
    if isinstance(split, ReadSplit) and isinstance(settled, Split) and split.unsteady:
        digest = hashlib.sha256()
        split.update(digest)
        return replace(settled, key=digest.hexdigest())
    return settled
