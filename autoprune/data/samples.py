"""Interface of a split: samples in a fixed order, drawn in batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import torch
from torch import Tensor

from autoprune.data.task import Batch


class Samples(Protocol):
    """Samples in a fixed order: a :class:`autoprune.data.Split` in memory, or one that is read.

    Batches are pytrees (tuple, dict, nested) of tensors whose first dimension is the sample.
    """

    @property
    def name(self) -> str:
        """Name for messages: train, test, ..."""

    def __len__(self) -> int: ...

    @property
    def sample(self) -> str:
        """Description of one sample: kind and shape of every tensor in it."""

    @property
    def probe(self) -> Batch:
        """All samples if they are in memory, else some of them, without normalization.

        What is found out about the data without reading all of them is found out on these.
        """

    def batches(
        self, size: int, *, seed: int | None = None, augment: bool = False, first: int = 0
    ) -> Iterator[Batch]:
        """Yield all samples in batches of at most ``size``, without the ``first`` of the batches.

        Without a seed: in order, the last batch takes the rest. With one: shuffled by it, and batch
        sizes differ by at most one sample, so that no batch is too small for its batch norm.
        ``augment`` (needs a seed): as training reads them, by the user's sampler and with what is
        random in them; otherwise samples are the same every time.
        """

    def take(self, count: int, seed: int | None = None) -> Samples:
        """Return the first ``count`` samples, or ``count`` different ones drawn by ``seed``."""

    def part(self, start: int, end: int) -> Samples:
        """Return the samples from ``start`` up to ``end``."""

    def rows(self, index: Tensor) -> Samples:
        """Return the samples at ``index``, in that order."""

    def to(self, device: torch.device | str) -> Samples:
        """Return the split with what it holds in memory on ``device``."""

    def called(self, name: str) -> Samples:
        """Return the same samples under another name."""

    def labels(self, index: Tensor) -> Tensor | None:
        """Return the class labels of those at ``index``, None if samples have another form.

        Of some of them, drawn by a fixed seed, where reading all would take too long.
        """

    def check_finite(self) -> None:
        """Raise UsageError if a float among the known samples is NaN or infinite."""

    def update(self, digest: Any) -> None:
        """Feed what identifies the samples to a hashlib digest."""
