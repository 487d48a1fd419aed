"""Units of masks: how the weights of each tensor are divided, and what keeping them costs.

A group is one weight tensor that multiplies. How many of its weights stay is an affine function of
the units that a plan keeps, so cost, budget, environment and agents work on such a structure
exactly as on one of channels. A multiply-add by a zero weight costs nothing, a zero weight is no
parameter, and a sparse tensor is stored as a bitmap, one bit for each place, and the weights that
stay.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from autoprune.problem.granularity.words import Granularity
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
"""Most units of a group: a large tensor is divided into so many steps of equal size."""


@dataclass(frozen=True)
class Layout:
    """How one weight tensor is divided into units.

    ``fixed + step * k`` of its weights stay when the group keeps k of its ``units``, k >= 1.
    ``macs`` is what each weight costs per sample; ``shape`` is that of the tensor.
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
        """The same as a function of a plan."""
        return Extent(self.fixed, ((self.group, self.step),))


def divide(
    structure: Structure, granularity: Granularity
) -> tuple[tuple[Layout, ...], tuple[Pinned, ...]]:
    """Divide every weight that multiplies; list those that cannot be, with the reason."""
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
        found = _rows(whole, *granularity.block) if granularity.block else _steps(whole)
        if found is None:
            pinned.append(Pinned(name, whole.size, f"its rows are shorter than {granularity}"))
        else:
            layouts.append(found)
    return tuple(layouts), tuple(pinned)


def structure_of(
    structure: Structure, layouts: Iterable[Layout], pinned: tuple[Pinned, ...]
) -> Structure:
    """Return the structure whose groups are the layouts and whose other sizes are those of now.

    It has no slices: its units lie in no dimension of a tensor.
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
        groups=tuple(Group(item.group, item.units, item.kind) for item in layouts),
        pinned=pinned,
        layers=tuple(layers),
        slices={item.group: () for item in layouts},
        tensors=tuple(tensors),
        widths={},
        renormalized=frozenset(),
    )


def _uses(structure: Structure) -> Mapping[str, tuple[str, int]]:
    """For every weight of a layer, in execution order: its kind and its MACs in all its uses."""
    found: dict[str, tuple[str, int]] = {}
    for layer in structure.layers:
        for name, product in zip(_weights(structure, layer), layer.macs, strict=False):
            before = found.get(name, (layer.kind, 0))[1]
            found[name] = (layer.kind, before + product(structure.sizes))
    return found


def _weights(structure: Structure, layer: Layer) -> tuple[str, ...]:
    """Name the weight of each product of a layer, first ones first; products of activations none.

    A recurrent cell has two: that of its input and that of its state, as torch names them.
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
    """Divide all weights into steps; the few largest that are left over always stay."""
    step = -(-whole.size // STEPS)
    units = whole.size // step
    return replace(whole, fixed=whole.size - step * units, step=step, units=units)


def _rows(whole: Layout, n: int, m: int) -> Layout | None:
    """Make a unit of what n:m takes from a few rows, and one more of all that stays anyway."""
    rows, length = whole.shape[0], whole.size // whole.shape[0]
    lost = length // m * (m - n)
    if not lost:
        return None
    together = next(d for d in range(-(-rows // STEPS), rows + 1) if rows % d == 0)
    step = together * lost
    return replace(
        whole, fixed=rows * (length - lost) - step, step=step, units=rows // together + 1
    )
