"""Cutting of a network: its tensors indexed in place, its modules' sizes updated."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from autoprune.errors import UsageError
from autoprune.structure.cut_record import note_cut
from autoprune.structure.graph import aliases
from autoprune.structure.module_sizes import fixers, narrow

Indices = Mapping[tuple[str, int], Tensor]
"""(tensor, dimension) -> indices that stay, ascending."""

Widths = Mapping[tuple[str, str], int]
"""(module path, attribute) -> size, for sizes that no tensor shows."""


@dataclass(frozen=True)
class TensorPlace:
    """Place of a tensor in a network: the module that holds it, and its attribute."""

    module: nn.Module
    attribute: str
    is_parameter: bool


@torch.no_grad()
def cut(model: nn.Module, indices: Indices, widths: Widths) -> None:
    """Shrink a network in place: ``indices`` stay along each (tensor, dim).

    Ties, gradient flags, modes, devices and dtypes are kept; ``widths`` are the sizes, by (module
    path, attribute), that no tensor shows. Raises UsageError if a tensor is not the model's, or an
    index or a size is out of its range.
    """
    known = aliases(model)
    places = tensor_places(model, known)
    dims: dict[str, list[int]] = defaultdict(list)
    for name, dim in indices:
        dims[name].append(dim)
    own = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    for name in dims:
        if name not in own:
            raise UsageError(f"the model has no tensor {name!r}", "it is not the one that was cut")
        tensor = own[name].detach()
        for dim in dims[name]:
            index = indices[name, dim].to(tensor.device)
            if dim >= tensor.dim() or int(index.max()) >= tensor.shape[dim]:
                raise UsageError(f"{name!r} is smaller than expected", "it is another model")
            tensor = tensor.index_select(dim, index)
        if isinstance(own[name], nn.Parameter):
            tensor = nn.Parameter(tensor, requires_grad=own[name].requires_grad)
        for place in places[name]:
            store(place, tensor)
    for fix in fixers(model, owner_paths(dims, known)):
        fix()
    for (path, attribute), size in widths.items():
        narrow(model, path, attribute, size)
    note_cut(model, indices, widths)


def tensor_places(model: nn.Module, known: Mapping[str, str]) -> dict[str, list[TensorPlace]]:
    """Find every module that holds a tensor, by the tensor's first name."""
    places: dict[str, list[TensorPlace]] = defaultdict(list)
    parameters = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    for name, first in known.items():
        path, _, attribute = name.rpartition(".")
        places[first].append(TensorPlace(model.get_submodule(path), attribute, name in parameters))
    return places


def owner_paths(tensors: Container[str], known: Mapping[str, str]) -> set[str]:
    """Paths of the modules that hold one of the tensors."""
    return {name.rpartition(".")[0] for name, first in known.items() if first in tensors}


def store(place: TensorPlace, tensor: Tensor) -> None:
    """Put a tensor in its place past nn.Module's checks: a plain one may replace a parameter."""
    slots = place.module._parameters if place.is_parameter else place.module._buffers
    slots[place.attribute] = tensor  # type: ignore[assignment]
