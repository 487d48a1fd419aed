"""Record that a compact network carries: how it was cut out of the dense one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import torch
from torch import Tensor, nn

from autoprune.structure.table import Removal, Structure

_ATTRIBUTE: Final = "_autoprune_cut"


@dataclass(frozen=True)
class Cut:
    """How a network was cut.

    ``indices`` stay along each (tensor, dim) of the dense network; ``widths`` are sizes that no
    tensor shows, by (module path, attribute); ``removed`` the branches that were taken out of what
    was left, each with the size of the constant in its place.
    """

    indices: Mapping[tuple[str, int], Tensor] = field(default_factory=dict)
    widths: Mapping[tuple[str, str], int] = field(default_factory=dict)
    removed: tuple[tuple[Removal, int], ...] = ()


def note_cut(
    model: nn.Module,
    indices: Mapping[tuple[str, int], Tensor],
    widths: Mapping[tuple[str, str], int],
) -> None:
    """Remember on a network that it was cut; a second cut counts in units left by the first."""
    before = recorded_cut(model)
    constants = {(removal.constant, 0) for removal, _ in before.removed}
    composed = {
        key: before.indices[key][index.to(before.indices[key].device)]
        if key in before.indices
        else index
        for key, index in indices.items()
        if key not in constants
    }
    removed = tuple(
        (removal, len(indices.get((removal.constant, 0), range(size))))
        for removal, size in before.removed
    )
    _note(model, Cut({**before.indices, **composed}, {**before.widths, **widths}, removed))


def note_removal(model: nn.Module, removal: Removal, size: int) -> None:
    """Remember on a network that a branch was taken out of it."""
    before = recorded_cut(model)
    _note(model, replace(before, removed=(*before.removed, (removal, size))))


def recorded_cut(model: nn.Module) -> Cut:
    """Return how a network was cut; nothing for one that is dense."""
    record: Cut = model.__dict__.get(_ATTRIBUTE, Cut())
    return record


def kept_units(structure: Structure, made: Cut) -> dict[str, Tensor]:
    """Return the units of each group of the dense network that a cut left, ascending.

    Groups that it says nothing of are left out: they are whole.
    """
    found = {}
    for name, slices in structure.slices.items():
        for piece in slices:
            index = made.indices.get((piece.tensor, piece.dim))
            if index is not None:
                found[name] = torch.isin(piece.index[:, 0], index).nonzero().flatten()
                break
    return found


def _note(model: nn.Module, made: Cut) -> None:
    model.__dict__[_ATTRIBUTE] = made
