"""Index patterns: which indices stay along each dimension, for the units that stay.

Dimensions that always keep the same indices share a pattern, and vectors that share one are stacked
and indexed together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from autoprune.structure.table import Branch, Structure

Pattern = Callable[[Mapping[str, Tensor]], Tensor]
"""(units that stay by group) -> indices that stay along a dimension, ascending."""

Key = tuple[str, int]
"""Name of a tensor, and one of its dimensions."""


def permutation(structure: Structure, order: Mapping[str, Tensor]) -> dict[Key, Tensor]:
    """Return indices that reorder the units of each group by ``order`` along its dimensions."""
    result = {}
    for (tensor, dim), entries in structure.shared.items():
        index = torch.arange(structure.dimension(tensor, dim))
        for name, rows in entries:
            index[rows.flatten()] = rows[order[name]].flatten()
        result[tensor, dim] = index
    return result


def index_patterns(structure: Structure) -> list[tuple[Pattern, list[Key]]]:
    """Group the (tensor, dim) keys that always keep the same indices."""
    alike: dict[Any, list[Key]] = defaultdict(list)
    for (tensor, dim), entries in structure.shared.items():
        size = structure.dimension(tensor, dim)
        layout = tuple((name, tuple(rows.flatten().tolist())) for name, rows in entries)
        alike[size, layout].append((tensor, dim))
    return [(_pattern(structure, keys[0]), keys) for keys in alike.values()]


def _pattern(structure: Structure, key: Key) -> Pattern:
    entries = structure.shared[key]
    size = structure.dimension(*key)
    name, rows = entries[0]
    if len(entries) == 1 and torch.equal(rows.flatten(), torch.arange(size)) and rows.shape[1] == 1:
        whole = torch.arange(size)
        return lambda kept: kept.get(name, whole)

    def find(kept: Mapping[str, Tensor]) -> Tensor:
        """Return the indices that stay, ascending."""
        stays = torch.ones(size, dtype=torch.bool)
        for group, index in entries:
            if group in kept:
                stays[index.flatten()] = False
                stays[index[kept[group]].flatten()] = True
        return stays.nonzero().flatten()

    return find


def places_that_stay(branch: Branch, kept: Mapping[str, Tensor]) -> Tensor:
    """Return the units that stay of the constant in the place of a branch, ascending."""
    stays = torch.ones(branch.size, dtype=torch.bool)
    for name, index in branch.units:
        if name in kept:
            stays[index.flatten()] = False
            stays[index[kept[name]].flatten()] = True
    return stays.nonzero().flatten()


def vector_stacks(
    patterns: Sequence[tuple[object, list[Key]]], source: Mapping[str, Tensor]
) -> list[tuple[Tensor, list[str], Key]]:
    """Stack the vectors that keep the same indices: one index_select instead of one for each."""
    stacks = []
    for _, keys in patterns:
        alike: dict[Any, list[str]] = defaultdict(list)
        for name, _ in keys:
            tensor = source[name]
            if tensor.dim() == 1:
                alike[tensor.dtype, tensor.device].append(name)
        for names in alike.values():
            stacks.append((torch.stack([source[name] for name in names]), names, keys[0]))
    return stacks


def dims_by_tensor(structure: Structure) -> dict[str, tuple[int, ...]]:
    """Return tensor -> its dimensions that can shrink."""
    shrinking: dict[str, list[int]] = defaultdict(list)
    for tensor, dim in structure.shared:
        shrinking[tensor].append(dim)
    return {tensor: tuple(dims) for tensor, dims in shrinking.items()}
