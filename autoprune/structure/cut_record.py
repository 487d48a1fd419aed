"""Record that a compact network carries: how it was cut out of the dense one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from torch import Tensor, nn

_ATTRIBUTE: Final = "_autoprune_cut"

Record = tuple[Mapping[tuple[str, int], Tensor], Mapping[tuple[str, str], int]]
"""Indices that stay along each (tensor, dim) of the dense network, and sizes that no tensor shows,
by (module path, attribute)."""


def note_cut(
    model: nn.Module,
    indices: Mapping[tuple[str, int], Tensor],
    widths: Mapping[tuple[str, str], int],
) -> None:
    """Remember on a network that it was cut; a second cut counts in units left by the first."""
    before, sizes = recorded_cut(model)
    composed = {
        key: before[key][index.to(before[key].device)] if key in before else index
        for key, index in indices.items()
    }
    model.__dict__[_ATTRIBUTE] = ({**before, **composed}, {**sizes, **widths})


def recorded_cut(model: nn.Module) -> Record:
    """Return how a network was cut; nothing for one that is dense."""
    record: Record = model.__dict__.get(_ATTRIBUTE, ({}, {}))
    return record
