"""Pinning of groups: their units stay, for the reasons given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from autoprune.structure.table import Extent, Pinned, Product, Structure


def pin(structure: Structure, reasons: Mapping[str, str]) -> Structure:
    """Return the structure with groups pinned: their units stay, for the reasons given."""
    if not reasons:
        return structure
    sizes = structure.sizes

    def fix(extent: Extent) -> Extent:
        fixed = extent.fixed + sum(t * sizes[name] for name, t in extent.terms if name in reasons)
        return Extent(fixed, tuple(term for term in extent.terms if term[0] not in reasons))

    return replace(
        structure,
        groups=tuple(group for group in structure.groups if group.name not in reasons),
        pinned=structure.pinned
        + tuple(Pinned(name, sizes[name], reason) for name, reason in reasons.items()),
        layers=tuple(
            replace(
                layer,
                macs=tuple(
                    Product(product.factor, tuple(fix(extent) for extent in product.extents))
                    for product in layer.macs
                ),
                reads=fix(layer.reads),
                writes=fix(layer.writes),
            )
            for layer in structure.layers
        ),
        slices={name: item for name, item in structure.slices.items() if name not in reasons},
        tensors=tuple(
            replace(tensor, shape=tuple(fix(extent) for extent in tensor.shape))
            for tensor in structure.tensors
        ),
        widths={key: fix(extent) for key, extent in structure.widths.items()},
        options=tuple((key, fix(extent)) for key, extent in structure.options),
        renormalized=structure.renormalized - set(reasons),
        rescaled=tuple(replace(one, size=fix(one.size)) for one in structure.rescaled),
        branches=tuple(
            replace(
                branch,
                units=tuple(pair for pair in branch.units if pair[0] not in reasons),
                groups=tuple(name for name in branch.groups if name not in reasons),
            )
            for branch in structure.branches
        ),
    )
