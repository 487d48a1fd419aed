"""Batches of a split, prepared once and run many times."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from autoprune.data import Samples
from autoprune.data.task import Batch
from autoprune.networks.execution import Form, device_of, move

HELD: Final = 1 << 30
"""Bytes of batches held ready per split; those of a larger one are drawn again on every pass."""


class Batches:
    """The batches of ``split``, in order, on the device of ``model`` and laid out as ``form`` says.

    With a ``seed`` they are shuffled by it and equally large. They are held ready if they take at
    most ``held`` bytes (by default ``HELD``).
    """

    def __init__(
        self,
        split: Samples,
        size: int,
        model: nn.Module,
        form: Form,
        seed: int | None = None,
        *,
        held: int | None = None,
    ) -> None:
        self.form = form
        self._split, self._size, self._seed = split, size, seed
        self._device = device_of(model)
        sample = tree_leaves(next(self._draw()))
        needed = sum(leaf.nbytes / len(leaf) for leaf in sample) * len(split)
        self._held = list(self._draw()) if needed <= (HELD if held is None else held) else None

    def __iter__(self) -> Iterator[Batch]:
        return self._draw() if self._held is None else iter(self._held)

    def _draw(self) -> Iterator[Batch]:
        for batch in self._split.batches(self._size, seed=self._seed):
            yield tree_map(self._lay_out, move(batch, self._device))

    def _lay_out(self, leaf: Tensor) -> Tensor:
        if self.form.channels_last and leaf.ndim == 4 and leaf.is_floating_point():
            return leaf.contiguous(memory_format=torch.channels_last)
        return leaf
