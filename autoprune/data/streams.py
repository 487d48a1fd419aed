"""Sources without rows: batches come one after another, and are read once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from torch import Tensor
from torch.utils._pytree import tree_leaves

from autoprune.data.read_split import joined
from autoprune.data.stream_split import one_pass
from autoprune.data.task import Batch
from autoprune.errors import UsageError

STREAMED: Final = 2**30
"""Most bytes that are read of such a source."""

BATCHES: Final = 100_000
"""Most batches of it."""

FIRST: Final = 0
"""Seed of the pass that is held in memory."""


def read_stream(name: str, source: Iterable[Any]) -> Batch:
    """Read batches to their end and join them. Random states are left as they were.

    Raises UsageError for a source that is empty, does not end, is larger than ``STREAMED``, or
    holds other things than tensors.
    """
    batches: list[Batch] = []
    bytes_read = 0
    for batch in one_pass(name, source, FIRST):
        batches.append(batch)
        if isinstance(source, list):
            continue  # in memory anyway
        leaves = [leaf for leaf in tree_leaves(batch) if isinstance(leaf, Tensor)]
        bytes_read += sum(leaf.nbytes for leaf in leaves)
        if bytes_read > STREAMED or len(batches) > BATCHES:
            raise UsageError(
                f"{name} does not end within {bytes_read >> 20:,} MB and {len(batches):,} batches",
                "give a Dataset with __len__ and __getitem__: its samples are read as needed",
            )
    if not batches:
        raise UsageError(f"{name} data is empty", "check what the loader was given")
    odd = [leaf for batch in batches for leaf in tree_leaves(batch) if not isinstance(leaf, Tensor)]
    if odd:
        raise UsageError(
            f"{name}: a batch holds {type(odd[0]).__name__}, not only tensors",
            "give tensors or arrays, or a DataLoader that collates into them",
        )
    return joined(name, batches)
