"""Layout of masks: division of each weight tensor into units, and the structure of their costs.

A group is one weight tensor that multiplies. The number of its weights that stay is an affine
function of the units that a plan keeps, so cost, budget, environment and agents work on such a
structure exactly as on one of channels. A multiply-add by a zero weight costs nothing, a zero
weight is no parameter, and a sparse tensor is stored as a bitmap, one bit per weight, and the
weights that stay.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from autoprune.problem.granularity.parse import Granularity
from autoprune.structure.table import (
    Extent,
    Group,
    Layer,
    Pinned,
    Product,
    Structure,
    TensorInfo,
)

STEPS = 512
"""Largest number of units of a group; a larger tensor gets units of several weights or rows."""


@dataclass(frozen=True)
class Layout:
    """Division of one weight tensor into units.

    ``fixed + step * k`` of its weights stay when the group keeps k of its ``units``, k >= 1.
    ``macs``: multiply-adds of each weight per sample. ``shape``: that of the tensor.
    """

    tensor: str
    group: str
    kind: str
    shape: tuple[int, ...]
    macs: int
    fixed: int
    step: int
    units: int

    @property
    def size(self) -> int:
        """Weights of the tensor."""
        return math.prod(self.shape)

    def kept(self, count: int) -> int:
        """Weights that stay when ``count`` units do."""
        return self.fixed + self.step * count

    @property
    def extent(self) -> Extent:
        """Number of weights that stay, as a function of a plan."""
        return Extent(self.fixed, ((self.group, self.step),))


def divide(
    structure: Structure, granularity: Granularity
) -> tuple[tuple[Layout, ...], tuple[Pinned, ...]]:
    """Divide every weight that multiplies; also return those left out, with reasons."""
    infos = {info.name: info for info in structure.tensors}
    layouts, pinned = [], []
    for name, (kind, macs) in _uses(structure).items():
        info = infos[name]
        shape = tuple(extent(structure.sizes) for extent in info.shape)
        whole = Layout(
            name, name.removesuffix(".weight"), kind, shape, macs // math.prod(shape), 0, 1, 1
        )
        if macs % whole.size or not info.is_parameter:
            reason = "its multiply-adds are not the same number for every weight"
            pinned.append(Pinned(name, whole.size, reason))
            continue
        layout = _rows(whole, *granularity.block) if granularity.block else _steps(whole)
        if layout is None:
            pinned.append(Pinned(name, whole.size, f"its rows are shorter than {granularity}"))
        else:
            layouts.append(layout)
    return tuple(layouts), tuple(pinned)


def structure_of(
    structure: Structure, layouts: Iterable[Layout], pinned: tuple[Pinned, ...]
) -> Structure:
    """Return the structure with the layouts as groups; all other sizes are fixed.

    It has no slices: its units are not slices along a dimension of a tensor.
    """
    extents = {layout.tensor: layout.extent for layout in layouts}
    first = {layout.tensor: layout for layout in layouts}
    sizes = structure.sizes
    layers = []
    for layer in structure.layers:
        macs: tuple[Product, ...] = ()
        names = _weights(structure, layer)
        for name, product in zip(names, layer.macs, strict=False):
            if name in extents:
                layout = first.pop(name, None)  # all uses of a weight are counted at its first
                macs += (Product(layout.macs, (layout.extent,)),) if layout else ()
            else:
                macs += (Product(product(sizes), ()),)
        macs += tuple(Product(product(sizes), ()) for product in layer.macs[len(names) :])
        layers.append(
            replace(
                layer,
                macs=macs,
                reads=Extent(layer.reads(sizes)),
                writes=Extent(layer.writes(sizes)),
            )
        )
    tensors = []
    for info in structure.tensors:
        shape = tuple(Extent(extent(sizes)) for extent in info.shape)
        if info.name in extents:
            shape = (extents[info.name],)
            bits = math.prod(extent(sizes) for extent in info.shape)
            tensors.append(TensorInfo(f"{info.name}.bitmap", False, 1, (Extent(-(-bits // 8)),)))
        tensors.append(replace(info, shape=shape))
    return replace(
        structure,
        groups=tuple(Group(layout.group, layout.units, layout.kind) for layout in layouts),
        pinned=pinned,
        layers=tuple(layers),
        slices={layout.group: () for layout in layouts},
        tensors=tuple(tensors),
        widths={},
        renormalized=frozenset(),
    )


def _uses(structure: Structure) -> Mapping[str, tuple[str, int]]:
    """Return kind and MACs over all uses of every layer's weight, in execution order."""
    uses: dict[str, tuple[str, int]] = {}
    for layer in structure.layers:
        for name, product in zip(_weights(structure, layer), layer.macs, strict=False):
            before = uses.get(name, (layer.kind, 0))[1]
            uses[name] = (layer.kind, before + product(structure.sizes))
    return uses


def _weights(structure: Structure, layer: Layer) -> tuple[str, ...]:
    """Return the names of a layer's weights, one per product; none for products of activations.

    A recurrent cell has two, for its input and for its state, as torch names them.
    """
    if layer.weight is None or layer.kind == "attention":
        return ()
    known = {info.name for info in structure.tensors}
    names = [layer.weight]
    if layer.kind == "recurrent":
        names.append(layer.weight.replace("weight_ih", "weight_hh"))
        if len(layer.macs) != len(names) or names[0] == names[1]:
            return ()
    elif len(layer.macs) != 1:
        return ()
    names = [structure.aliases.get(name, name) for name in names]
    return tuple(names) if known.issuperset(names) else ()


def _steps(whole: Layout) -> Layout:
    """Divide all weights into steps; the largest ones, left over by the division, always stay."""
    step = -(-whole.size // STEPS)
    units = whole.size // step
    return replace(whole, fixed=whole.size - step * units, step=step, units=units)


def _rows(whole: Layout, n: int, m: int) -> Layout | None:
    """Divide by rows: a unit is the weights that n:m removes from a few rows.

    The first unit is all weights that n:m leaves. None if rows are shorter than m.
    """
    rows, length = whole.shape[0], whole.size // whole.shape[0]
    lost = length // m * (m - n)
    if not lost:
        return None
    together = next(d for d in range(-(-rows // STEPS), rows + 1) if rows % d == 0)
    step = together * lost
    return replace(
        whole, fixed=rows * (length - lost) - step, step=step, units=rows // together + 1
    )
