"""Augmentation of a user's data set: whether there is any, and how to read without it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, Final

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves
from torch.utils.data import ConcatDataset, Dataset

from autoprune.data.randomness import vars_of
from autoprune.data.reader import Order, Reader, Rows
from autoprune.errors import AutopruneError

FEW: Final = 32
"""Samples that are read twice, with different random numbers."""

SWITCHES: Final = ("augment", "augmentation", "train", "training", "is_train", "is_training")
"""Attributes of a data set that turn its augmentation on when they are true."""

TRANSFORMS: Final = ("transform", "transforms")
"""Attributes of a data set, and of a transform, that hold what samples go through."""


_RANDOM: Final = (
    *("Random", "AutoAugment", "AugMix", "TrivialAugment", "ColorJitter", "ElasticTransform"),
    *("GaussianBlur", "GaussianNoise"),
)
"""Beginnings of the names of torchvision's random transforms."""


def varies(reader: Reader, rows: Rows) -> bool:
    """Return whether samples differ when they are read with other random numbers."""
    one, other = (_leaves(reader, rows, seed) for seed in (1, 2))
    return not _equal(one, other)


def without_augmentation(reader: Reader, rows: Rows) -> Reader | None:
    """Return a reader of the same samples without what is random in them; None if there is none.

    Tried are, one after another, each true attribute of the data set among ``SWITCHES`` set to
    false, and its transform without the random steps (``_RANDOM``). A view counts only if ``rows``
    keep their form, are the same whenever they are read, and have the same values where
    augmentation does not change them (labels). The user's data set is not changed: a view is a
    shallow copy.
    """
    one, other = (_leaves(reader, rows, seed) for seed in (1, 2))
    for view in _copies(reader.dataset):
        plain = reader.over(view)
        try:
            leaves = _leaves(plain, rows, 1)
            if not varies(plain, rows) and _fits(leaves, one, other):
                return plain
        except AutopruneError:  # it cannot do without
            continue
    return None


def _copies(dataset: Any) -> list[Any]:
    """Return the views of a data set, none if it cannot be copied."""
    try:
        return list(_views(dataset))
    except Exception:  # whatever an object of the user's does when it is copied
        return []


def _views(dataset: Any) -> Iterator[Any]:
    """Yield copies of a data set that may have no augmentation."""
    own = vars_of(dataset)
    for name in SWITCHES:
        if own.get(name) is True:
            yield _with(dataset, **{name: False})
    for name in TRANSFORMS:
        if own.get(name) is not None:
            yield _with(dataset, **{name: _steady(own[name])})
    if isinstance(own.get("dataset"), Dataset):  # a subset, or a wrapper of the user's
        for view in _views(own["dataset"]):
            yield _with(dataset, dataset=view)
    if isinstance(dataset, ConcatDataset):
        for views in zip(*map(_views, dataset.datasets), strict=False):
            yield _with(dataset, datasets=list(views))


def _steady(transform: Any) -> Any:
    """Return a transform without its random steps, None if it is one."""
    if type(transform).__name__.startswith(_RANDOM):
        return None
    for name in TRANSFORMS:
        inside = vars_of(transform).get(name)
        if isinstance(inside, (list, tuple)):
            kept = [step for step in map(_steady, inside) if step is not None]
            return _with(transform, **{name: type(inside)(kept)})
        if inside is not None:
            return _with(transform, **{name: _steady(inside)})
    return transform


def _with(owner: Any, **attributes: Any) -> Any:
    changed = copy.copy(owner)
    vars(changed).update(attributes)
    return changed


def _leaves(reader: Reader, rows: Rows, seed: int) -> list[Tensor]:
    return tree_leaves(list(reader.read([Order(rows, seed, 0)])))


def _equal(one: list[Tensor], other: list[Tensor]) -> bool:
    return len(one) == len(other) and all(map(torch.equal, one, other))


def _fits(leaves: list[Tensor], one: list[Tensor], other: list[Tensor]) -> bool:
    """Whether leaves have the form of two readings, and the values that these agree on."""
    if [(leaf.dtype, leaf.shape) for leaf in leaves] != [(leaf.dtype, leaf.shape) for leaf in one]:
        return False
    agreed = [torch.equal(first, second) for first, second in zip(one, other, strict=True)]
    return all(
        torch.equal(leaf, first) or not agree
        for leaf, first, agree in zip(leaves, one, agreed, strict=True)
    )
