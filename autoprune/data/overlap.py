"""Samples that two parts of a user's data share, where that can be known without reading them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils._pytree import tree_leaves
from torch.utils.data import Subset

from autoprune.data.randomness import vars_of
from autoprune.data.read_split import ReadSplit
from autoprune.data.reader import Rows
from autoprune.data.split import Split

_FILES = ("samples", "imgs", "files", "paths")
"""Attributes of a data set that list its files (torchvision's convention first)."""


def shared(name: str) -> str:
    """Return the line that says so of the split ``name`` and the training split."""
    return f"{name} holds samples of train: a score on it says nothing about new ones"


def overlaps(first: Split | ReadSplit, second: Split | ReadSplit) -> bool:
    """Return whether two parts are known to share samples.

    They are if they are one object, if tensors share memory or are equal, if they read rows of one
    data set, or if their data sets name the same files.
    """
    if isinstance(first, ReadSplit) and isinstance(second, ReadSplit):
        return _share_rows(first, second) or _share_files(first, second)
    if isinstance(first, ReadSplit) or isinstance(second, ReadSplit):
        return False
    pairs = list(zip(tree_leaves(first.content), tree_leaves(second.content), strict=False))
    same = all(leaf.shape == like.shape and torch.equal(leaf, like) for leaf, like in pairs)
    return same or _share_memory(*pairs[0])


def _share_memory(one: Tensor, other: Tensor) -> bool:
    """Whether some row of a tensor is a row of the other, in memory."""
    return len(np.intersect1d(_addresses(one), _addresses(other))) > 0


def _addresses(leaf: Tensor) -> NDArray[np.int64]:
    """Addresses of the rows of a tensor."""
    step = leaf.stride(0) * leaf.element_size()
    return leaf.data_ptr() + step * np.arange(len(leaf), dtype=np.int64)


def _share_rows(one: ReadSplit, other: ReadSplit) -> bool:
    (first, rows), (second, others) = (
        _base(split.reader.dataset, split.index) for split in (one, other)
    )
    return first is second and len(np.intersect1d(rows, others)) > 0


def _base(dataset: Any, rows: Rows) -> tuple[Any, Rows]:
    """Return the data set below subsets, and the rows there."""
    while isinstance(dataset, Subset):
        rows = np.asarray(dataset.indices, dtype=np.int64)[rows]
        dataset = dataset.dataset
    return dataset, rows


def _share_files(one: ReadSplit, other: ReadSplit) -> bool:
    first, second = (_files(*_base(split.reader.dataset, split.index)) for split in (one, other))
    return bool(first & second)


def _files(dataset: Any, rows: Rows) -> set[str]:
    for name in _FILES:
        entries = vars_of(dataset).get(name)
        if isinstance(entries, Sequence) and len(entries) == len(dataset):
            named = [entries[row] for row in rows.tolist()]
            named = [entry[0] if isinstance(entry, (tuple, list)) else entry for entry in named]
            return {str(entry) for entry in named if isinstance(entry, (str, Path))}
    return set()
