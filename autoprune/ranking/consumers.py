"""Consumers: the weights that read prunable units through a module, as matrices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from autoprune.structure.table import Structure

CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
RECURRENT = (nn.RNN, nn.LSTM, nn.GRU)


class Place(NamedTuple):
    """Holder of a tensor: a module, its path, and the attribute."""

    path: str
    module: nn.Module
    attribute: str


@dataclass(frozen=True)
class Consumer:
    """A weight that reads units of one or more groups: outputs = X W, the rows of X input patches.

    - ``tensor``, ``bias``: names; ``bias`` is None where there is none to repair.
    - ``weight``: the tensor, [outputs, inputs, *kernel]; W is its transpose, [inputs * kernel,
      outputs], at ``columns``.
    - ``modules``: the modules that hold the weight; all their calls count.
    - ``columns``: LongTensor, the columns of X it stands for: all of them, or a part where the
      weight is so wide that it was split (:func:`split`).
    - ``groups``: group -> LongTensor [size, block], places within ``columns`` of each unit's own.
    """

    tensor: str
    bias: str | None
    weight: Tensor
    modules: tuple[nn.Module, ...]
    columns: Tensor
    groups: Mapping[str, Tensor]


def find_consumers(model: nn.Module, structure: Structure) -> list[Consumer]:
    """List the consumers of all groups.

    A weight counts if every module that holds it is a convolution without groups, a linear layer or
    (input side of the first layer) a recurrent one, and nothing but their calls multiplies by it.
    Functional products, raw parameters, grouped convolutions and hidden-to-hidden weights do not.
    """
    consumers = []
    readers = _readers(structure)
    for tensor, places in _places(model, structure).items():
        groups = readers.get(tensor)
        if groups and _only_called(tensor, places, structure) and all(map(_rebuildable, places)):
            weight = getattr(places[0].module, places[0].attribute).detach()
            kernel = weight[0, 0].numel()
            consumers.append(
                Consumer(
                    tensor,
                    _bias(places, structure),
                    weight,
                    tuple(place.module for place in places),
                    torch.arange(weight.shape[1] * kernel),
                    {name: _taps(index, kernel) for name, index in groups.items()},
                )
            )
    return consumers


def split(consumer: Consumer, limit: int) -> list[Consumer]:
    """Split a consumer into as few parts as have at most ``limit`` columns each.

    Every part holds every unit, at some of its places (kernel taps, or pixels of a flattened map):
    correlations between units are kept, those between places in different parts are taken as 0.
    Returns [] if even one place per unit is too wide.
    """
    taken = torch.cat([index.ravel() for index in consumer.groups.values()])
    pinned = _without(torch.arange(len(consumer.columns)), taken)
    for parts in range(1, max(index.shape[1] for index in consumer.groups.values()) + 1):
        pieces = [_part(consumer, pinned, part, parts) for part in range(parts)]
        if max(len(piece.columns) for piece in pieces) <= limit:
            return pieces
    return []


def _part(consumer: Consumer, pinned: Tensor, part: int, parts: int) -> Consumer:
    groups = {
        name: index.tensor_split(parts, 1)[part]
        for name, index in consumer.groups.items()
        if index.shape[1] > part
    }
    own = [index.ravel() for index in groups.values()]
    columns = torch.cat([*own, pinned.tensor_split(parts)[part]]).sort().values
    return replace(
        consumer,
        columns=consumer.columns[columns],
        groups={
            name: torch.searchsorted(columns, index.contiguous()) for name, index in groups.items()
        },
    )


def _without(values: Tensor, taken: Tensor) -> Tensor:
    return values[~torch.isin(values, taken)]


def _readers(structure: Structure) -> dict[str, dict[str, Tensor]]:
    """Tensor -> group -> places along dim 1, for tensors that do nothing but read along it."""
    readers: dict[str, dict[str, Tensor]] = {}
    mixed = set()
    for group, slices in structure.slices.items():
        for one in slices:
            if one.dim == 1 and one.role == "in":
                places = readers.setdefault(one.tensor, {})
                index = one.index.cpu()
                places[group] = torch.cat([places[group], index], 1) if group in places else index
            elif one.dim == 1:
                mixed.add(one.tensor)
    return {tensor: places for tensor, places in readers.items() if tensor not in mixed}


def _places(model: nn.Module, structure: Structure) -> dict[str, list[Place]]:
    """Canonical parameter name -> the modules that hold it."""
    holders: dict[str, list[Place]] = {}
    for path, module in model.named_modules():
        for attribute, _ in module.named_parameters(recurse=False, remove_duplicate=False):
            name = f"{path}.{attribute}" if path else attribute
            place = Place(path, module, attribute)
            holders.setdefault(structure.aliases.get(name, name), []).append(place)
    return holders


def _only_called(tensor: str, places: list[Place], structure: Structure) -> bool:
    paths = {place.path for place in places}
    users = {layer.module for layer in structure.layers if layer.weight == tensor}
    return users <= paths


def _rebuildable(place: Place) -> bool:
    """Whether the module's product with this weight can be rebuilt from the module's input."""
    module = place.module
    if isinstance(module, RECURRENT):
        return place.attribute in ("weight_ih_l0", "weight_ih_l0_reverse")
    if isinstance(module, CONVS):
        return place.attribute == "weight" and module.groups == 1
    return place.attribute == "weight" and isinstance(module, nn.Linear)


def _bias(places: list[Place], structure: Structure) -> str | None:
    """Canonical name of the bias, if all modules that hold the weight add the same one."""
    names = set()
    for path, module, attribute in places:
        bias = attribute.replace("weight", "bias")
        has = isinstance(getattr(module, bias, None), Tensor)
        name = f"{path}.{bias}" if path else bias
        names.add(structure.aliases.get(name, name) if has else None)
    return names.pop() if len(names) == 1 else None


def _taps(index: Tensor, kernel: int) -> Tensor:
    """Turn input channels [size, multiplicity] into columns [size, multiplicity * kernel]."""
    return (index[:, :, None] * kernel + torch.arange(kernel)).flatten(1)
