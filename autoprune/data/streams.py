"""Sources without rows: batches come one after another, and are read once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from torch import Tensor
from torch.utils._pytree import tree_leaves
from torch.utils.data import DataLoader, IterableDataset

from autoprune.data.randomness import Randomness
from autoprune.data.read_split import joined
from autoprune.data.reader import as_tensors
from autoprune.data.task import Batch
from autoprune.errors import UsageError
from autoprune.foundation.user_code import blamed

STREAMED: Final = 2**30
"""Most bytes that are read of such a source."""

BATCHES: Final = 100_000
"""Most batches of it."""

_BATCH: Final = 256
"""Samples per batch of a stream of samples."""

_INDEXED: Final = "give a Dataset with __len__ and __getitem__: its samples are read as needed"


def read_stream(name: str, source: Iterable[Any]) -> Batch:
    """Read batches to their end and join them. Random states are left as they were.

    Raises UsageError for a source that is empty, does not end, is larger than ``STREAMED``, or
    holds other things than tensors.
    """
    if isinstance(source, IterableDataset):
        source = DataLoader(source, batch_size=_BATCH)
    random = Randomness(source)
    batches: list[Batch] = []
    bytes_read = 0
    with random.kept(), blamed(f"{name} cannot be read"):
        random.seed(0)
        for batch in source:
            batches.append(as_tensors(batch))
            if isinstance(source, list):
                continue  # in memory anyway
            leaves = [leaf for leaf in tree_leaves(batches[-1]) if isinstance(leaf, Tensor)]
            bytes_read += sum(leaf.nbytes for leaf in leaves)
            if bytes_read > STREAMED or len(batches) > BATCHES:
                raise UsageError(
                    f"{name} does not end within {bytes_read >> 20:,} MB and {len(batches):,}"
                    " batches",
                    _INDEXED,
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
