"""User data in Python objects: loaders, datasets, tensors and batches, read into memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.data import (
    DataLoader,
    Dataset,
    RandomSampler,
    SequentialSampler,
    TensorDataset,
)

from autoprune.errors import UsageError
from autoprune.foundation.user_code import blamed

NAMES = {2: ("train", "test"), 3: ("train", "validation", "test")}
"""Splits that the elements of a tuple of sources stand for, by its length."""

ALIASES = {"valid": "validation", "val": "validation"}


def parts_of(name: str, source: object) -> dict[str, Any]:
    """Return the content (a pytree of tensors, sample first) of each part that ``source`` has.

    Raises UsageError for an object that holds no samples, or whose samples cannot be stacked.
    """
    if isinstance(source, Mapping) and "train" in source:
        sources = {ALIASES.get(key, str(key)): value for key, value in source.items()}
    elif isinstance(source, tuple) and len(source) in NAMES and not any(map(_is_array, source)):
        sources = dict(zip(NAMES[len(source)], source, strict=True))
    else:
        sources = {"train": source}
    unknown = set(sources) - {"train", "search", "validation", "test"}
    if unknown:
        raise UsageError(
            f"{name}: unknown split {min(unknown)!r}",
            "train, search, validation and test are known",
        )
    return {key: _content(f"{name} {key}", value) for key, value in sources.items()}


def _content(name: str, source: object) -> Any:
    if _is_arrays(source) and not _is_array(source):
        return _tensors(source)
    if isinstance(source, TensorDataset):
        return tuple(source.tensors)
    if isinstance(source, DataLoader):
        source = _in_order(source)
    elif _is_dataset(source):
        source = DataLoader(cast("Dataset[Any]", source), batch_size=256)
    if not isinstance(source, Iterable) or isinstance(
        source, (str, bytes, Tensor, np.ndarray, Mapping)
    ):
        raise UsageError(
            f"{name}: cannot read samples from {type(source).__name__}",
            "give a DataLoader, a Dataset or tensors (X, y)",
        )
    with torch.random.fork_rng(devices=[]), blamed(f"{name} cannot be read"):
        torch.manual_seed(0)
        return _joined(name, [_tensors(batch) for batch in source])


def _is_dataset(source: object) -> bool:
    """Say whether ``source`` yields samples: torch's data sets, and all that are indexed alike."""
    indexed = hasattr(source, "__getitem__") and hasattr(source, "__len__")
    plain = (str, bytes, list, tuple, Mapping, Tensor, np.ndarray)
    return isinstance(source, Dataset) or (indexed and not isinstance(source, plain))


def _in_order(loader: DataLoader[Any]) -> DataLoader[Any]:
    """Read a loader over a whole data set in the order of that set, whatever it shuffles.

    Which samples are held out must not depend on how the user's loader happens to be seeded.
    """
    whole = isinstance(loader.sampler, (RandomSampler, SequentialSampler))
    if not whole or loader.batch_size is None:
        return loader
    return DataLoader(
        loader.dataset,
        batch_size=loader.batch_size,
        collate_fn=loader.collate_fn,
        num_workers=loader.num_workers,
    )


def _joined(name: str, batches: list[Any]) -> Any:
    if not batches:
        raise UsageError(f"{name} data is empty", "check what the loader was given")
    odd = [leaf for batch in batches for leaf in tree_leaves(batch) if not isinstance(leaf, Tensor)]
    if odd:
        raise UsageError(
            f"{name}: a batch holds {type(odd[0]).__name__}, not only tensors",
            "give tensors or arrays, or a DataLoader that collates into them",
        )
    return tree_map(lambda *leaves: torch.cat(leaves), *batches)


def _is_array(source: object) -> bool:
    return isinstance(source, (Tensor, np.ndarray))


def _is_arrays(source: object) -> bool:
    """Say whether ``source`` is a tuple or mapping of arrays, at any depth; lists hold batches."""
    if isinstance(source, Mapping):
        return bool(source) and all(_is_arrays(value) for value in source.values())
    if isinstance(source, tuple):
        return bool(source) and all(_is_arrays(value) for value in source)
    return _is_array(source)


def _tensors(batch: Any) -> Any:
    """Turn arrays into tensors (double precision into single) and lists into tuples."""
    if isinstance(batch, (tuple, list)):
        return tuple(_tensors(value) for value in batch)
    if isinstance(batch, Mapping):
        return {key: _tensors(value) for key, value in batch.items()}
    if isinstance(batch, np.ndarray):
        if batch.dtype == np.float64:  # numpy's default, which no network takes
            batch = batch.astype(np.float32)
        return torch.from_numpy(np.ascontiguousarray(batch))
    return batch.detach() if isinstance(batch, Tensor) else batch
