"""User data in Python objects: tensors, batches, data sets and loaders."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.data import (
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    TensorDataset,
    default_collate,
)

from autoprune.data.augmentation import FEW, varies, without_augmentation
from autoprune.data.draws import Draws
from autoprune.data.read_split import ReadSplit
from autoprune.data.reader import LoaderOptions, Reader, as_tensors
from autoprune.data.split import Split
from autoprune.data.stream_split import passes_differ
from autoprune.data.streams import read_stream
from autoprune.errors import UsageError

NAMES: Final = {2: ("train", "test"), 3: ("train", "validation", "test")}
"""Splits that the elements of a tuple of sources stand for, by its length."""

ALIASES: Final = {"valid": "validation", "val": "validation"}

PLAIN: Final = "train_plain"
"""Key of a second view of the training rows: as many, in the same order, without augmentation."""

ROWS: Final = 2**28
"""Most rows of a data set: a pass over more would never end."""


@dataclass(frozen=True, eq=False)
class Part:
    """A part of a user's data: its samples, and how training reads them.

    ``draws`` is the sampler that chooses among them; ``stream`` a source that differs from pass to
    pass, and of which the samples are one; ``varies``: whether samples are augmented at random even
    where they should not be.
    """

    samples: Split | ReadSplit
    draws: Draws | None = None
    stream: Iterable[Any] | None = None
    varies: bool = False


def parts_of(name: str, source: object) -> dict[str, Part]:
    """Return the parts that ``source`` has: ``train`` and any of the other splits.

    Raises UsageError for an object that holds no samples, or whose samples cannot be stacked.
    """
    sources = _named(source)
    plain = sources.pop(PLAIN, None)
    unknown = set(sources) - {"train", "search", "validation", "test"}
    if unknown:
        raise UsageError(
            f"{name}: unknown split {min(unknown)!r}",
            f"train, {PLAIN}, search, validation and test are known",
        )
    parts = {key: _part(f"{name} {key}", key, value) for key, value in sources.items()}
    if plain is not None and "train" in parts:
        parts["train"] = _with_plain(parts["train"], f"{name} {PLAIN}", plain)
    return parts


def _named(source: object) -> dict[str, Any]:
    if isinstance(source, Mapping) and "train" in source:
        return {ALIASES.get(key, str(key)): value for key, value in source.items()}
    if isinstance(source, tuple) and len(source) in NAMES and not any(map(_is_array, source)):
        return dict(zip(NAMES[len(source)], source, strict=True))
    return {"train": source}


def _part(name: str, key: str, source: object) -> Part:
    if _is_arrays(source) and not _is_array(source):
        return Part(Split(as_tensors(source), name=key))
    loader = source if isinstance(source, DataLoader) else None
    dataset = source if loader is None else loader.dataset
    plainly = loader is None or (_is_whole(loader) and loader.collate_fn is default_collate)
    held = _held(dataset) if plainly else None
    if held is not None:
        return Part(Split(held, name=key))
    if _is_rows(dataset) and (loader is None or loader.batch_sampler is not None):
        return _read(name, key, dataset, loader)
    if not isinstance(source, Iterable) or isinstance(
        source, (str, bytes, Tensor, np.ndarray, Mapping)
    ):
        raise UsageError(
            f"{name}: cannot read samples from {type(source).__name__}",
            "give a DataLoader, a Dataset or tensors (X, y)",
        )
    samples = Split(read_stream(name, source), name=key)
    differ = key == "train" and passes_differ(name, source)
    return Part(samples, stream=source if differ else None)


def _read(name: str, key: str, dataset: Any, loader: DataLoader[Any] | None) -> Part:
    """Return the part that is read from a data set as it is needed."""
    size = len(dataset)
    if not 0 < size <= ROWS:
        raise UsageError(
            f"{name} data is empty" if size < 1 else f"{name} has {size:,} rows, too many to pass",
            "check what the loader was given" if size < 1 else "let __len__ say how many there are",
        )
    reader, draws, index = Reader(name, dataset), None, np.arange(size, dtype=np.int64)
    if loader is not None:
        reader = replace(reader, collate=loader.collate_fn, options=LoaderOptions.of(loader))
        if not _is_whole(loader):
            own = loader.batch_sampler if loader.batch_size is None else loader.sampler
            draws = Draws(name, own, size)
            index = draws.universe()
    split = ReadSplit(reader, reader, index, key)
    few = split.probed(FEW)
    if not varies(reader, few):
        return Part(split, draws)
    plain = without_augmentation(reader, few)
    return Part(replace(split, plain=plain or reader), draws, varies=plain is None)


def _with_plain(train: Part, name: str, source: object) -> Part:
    """Let the training rows be read from a view of theirs where they must not be augmented."""
    split = train.samples
    if not isinstance(split, ReadSplit):
        return train  # held in memory, it is as it is
    view = _part(name, PLAIN, source).samples
    if isinstance(view, ReadSplit):
        own = view.reader if isinstance(source, DataLoader) else split.reader
        plain = own.over(view.reader.dataset)
    else:
        plain = replace(split.reader.over(HeldRows(view.probe)), collate=default_collate)
    if len(plain.dataset) != len(split.reader.dataset):
        raise UsageError(
            f"{name} has {len(plain.dataset):,} samples, train has {len(split.reader.dataset):,}",
            "give the same rows in the same order",
        )
    samples = replace(split, plain=plain)
    return replace(train, samples=samples, varies=varies(plain, samples.probed(FEW)))


class HeldRows:
    """Data set of the rows of a pytree of tensors."""

    def __init__(self, content: Any) -> None:
        self._content = content

    def __len__(self) -> int:
        return len(tree_leaves(self._content)[0])

    def __getitem__(self, row: int) -> Any:
        return tree_map(lambda leaf: leaf[row], self._content)


def _held(dataset: object) -> Any:
    """Return the tensors behind a data set of torch's that only points at them, else None."""
    if type(dataset) is TensorDataset:
        return tuple(dataset.tensors)
    if type(dataset) is Subset:
        content = _held(dataset.dataset)
        rows = torch.as_tensor(list(dataset.indices))
        return None if content is None else tuple(leaf[rows] for leaf in content)
    if type(dataset) is ConcatDataset:
        contents = [_held(one) for one in dataset.datasets]
        if all(content is not None for content in contents):
            return tuple(torch.cat(leaves) for leaves in zip(*contents, strict=True))
    return None


def _is_rows(source: object) -> bool:
    """Say whether ``source`` has rows: torch's data sets, and all that are indexed alike."""
    plain = (str, bytes, list, tuple, Mapping, Tensor, np.ndarray, IterableDataset)
    indexed = hasattr(source, "__getitem__") and hasattr(source, "__len__")
    if isinstance(source, Dataset) and not indexed and not hasattr(source, "__iter__"):
        raise UsageError(
            f"{type(source).__name__} does not say how many samples it has",
            "give it __len__, or make it an IterableDataset",
        )
    return indexed and not isinstance(source, plain)


def _is_whole(loader: DataLoader[Any]) -> bool:
    """Say whether a loader draws every row of its data set once, in order or shuffled.

    Which samples are held out must not depend on how the user's loader happens to be seeded.
    """
    sampler = loader.sampler
    shuffles = (
        type(sampler) is RandomSampler
        and not sampler.replacement
        and sampler.num_samples == len(sampler.data_source)
    )
    return loader.batch_size is not None and (shuffles or type(sampler) is SequentialSampler)


def _is_array(source: object) -> bool:
    return isinstance(source, (Tensor, np.ndarray))


def _is_arrays(source: object) -> bool:
    """Say whether ``source`` is a tuple or mapping of arrays, at any depth; lists hold batches."""
    if isinstance(source, Mapping):
        return bool(source) and all(_is_arrays(value) for value in source.values())
    if isinstance(source, tuple):
        return bool(source) and all(_is_arrays(value) for value in source)
    return _is_array(source)
