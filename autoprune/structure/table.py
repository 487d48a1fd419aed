"""Tables of an analyzed model: units, groups, pinned tensors, layers.

A *unit* is one removable channel, neuron or hidden unit: an index along every (parameter,
dimension) it is tied to. Units that share the same set of slices form a *group*, the thing a plan
decides on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, Literal

from torch import Tensor

from autoprune.foundation.lazy import load_reference

Role = Literal["out", "in", "scale"]
"""How a slice uses its units: ``out`` produces them, ``in`` reads them, ``scale`` works on each."""

BRANCH: Final = "branch"
"""Kind of a group that is a branch: its one unit stays, or the whole branch is gone."""


@dataclass(frozen=True)
class Group:
    """Units that are decided together.

    ``name`` is the module path (or parameter name) that produces the units first; ``kind`` the kind
    of that producer: ``conv``, ``linear``, ``recurrent``, ``embedding`` or ``parameter``; or
    ``branch``, of one unit, where branches may go (:func:`autoprune.structure.depth.deepened`).
    """

    name: str
    size: int
    kind: str


@dataclass(frozen=True)
class Pinned:
    """``size`` indices along ``name`` that must stay, and why."""

    name: str
    size: int
    reason: str


@dataclass(frozen=True)
class Extent:
    """Length of a dimension as a function of the plan: fixed + sum(multiplicity * kept units)."""

    fixed: int
    terms: tuple[tuple[str, int], ...] = ()

    def __call__(self, keep: Mapping[str, int]) -> int:
        """Return the length under a plan."""
        return self.fixed + sum(times * keep[group] for group, times in self.terms)


@dataclass(frozen=True)
class Product:
    """``factor`` times the product of the extents."""

    factor: int
    extents: tuple[Extent, ...]

    def __call__(self, keep: Mapping[str, int]) -> int:
        """Return the value under a plan."""
        value = self.factor
        for extent in self.extents:
            value *= extent(keep)
        return value


@dataclass(frozen=True)
class Layer:
    """An operation that multiplies: where it is, its weights, its MACs per sample.

    ``kind`` is ``conv``, ``linear``, ``recurrent`` or ``attention`` (a product of activations).
    ``module`` is the path of the module whose call holds the operation; ``weight`` the name of its
    first weight, None for products of activations. ``reads`` and ``writes`` count the elements of
    activations that go in and come out, per sample. ``within``: the branches it goes with, as
    extents of one unit each.
    """

    module: str
    kind: str
    weight: str | None
    macs: tuple[Product, ...]
    reads: Extent = Extent(0)
    writes: Extent = Extent(0)
    within: tuple[Extent, ...] = ()


@dataclass(frozen=True)
class Slice:
    """Positions of a group's units along one dimension of one tensor.

    ``index`` has shape [group size, multiplicity]: row u lists the positions of unit u.
    """

    tensor: str
    dim: int
    role: Role
    index: Tensor = field(compare=False)


@dataclass(frozen=True)
class TensorInfo:
    """A parameter or buffer: its name, element size in bytes and the extent of each dimension.

    ``within``: the branches it goes with, or is left by, as extents of one unit each.
    """

    name: str
    is_parameter: bool
    itemsize: int
    shape: tuple[Extent, ...]
    within: tuple[Extent, ...] = ()

    @property
    def elements(self) -> tuple[Extent, ...]:
        """Extents whose product is the number of elements."""
        return self.shape + self.within

    def numel(self, keep: Mapping[str, int]) -> int:
        """Count the elements that are left under ``keep``."""
        return Product(1, self.elements)(keep)


@dataclass(frozen=True)
class Rescaled:
    """Rows (along the first dimension) of a tensor that follow the size of a head of attention.

    They make queries whose scores are divided by sqrt(``size``), which is read off the input.
    """

    tensor: str
    rows: tuple[int, ...]
    size: Extent


Template = str | None | list["Template"] | dict[str, "Template"]
"""What a module gives out, JSON-able: VALUE for a tensor, None for anything else, lists (a tuple
starts with TUPLE) and dicts of these."""

VALUE: Final = "value"
TUPLE: Final = "tuple"


@dataclass(frozen=True)
class Removal:
    """How to take a branch out of a network.

    ``modules`` go, in the order in which they run, and give out what ``templates`` say. In place of
    the branch a constant per unit is added: ``rank`` is that of the branch's value, ``dim`` the
    dimension of its units. The last module holds it.
    """

    modules: tuple[str, ...]
    templates: tuple[Template, ...]
    rank: int
    dim: int

    @property
    def constant(self) -> str:
        """Name of the constant in the network that is left."""
        return f"{self.modules[-1]}.constant"


@dataclass(frozen=True)
class Ending:
    """How a branch ends that is added to the very value it starts from.

    ``layer`` makes its last units, ``norm`` is the batch norm after it, if there is one; ``entry``
    is the module whose first input is the value.
    """

    layer: str
    norm: str | None
    entry: str


@dataclass(frozen=True)
class Branch:
    """What lies between a value and an addition that brings it back; it may go as a whole.

    - ``name``: the module that it makes up, or the largest one in it.
    - ``removal``: how it is taken out.
    - ``size``: units of the constant that is left; ``units`` their groups, as ``Structure.shared``.
    - ``groups``: the groups that go with it; ``tensors`` and ``layers`` (places in
      ``Structure.layers``) likewise.
    - ``outer``: branches that it is part of.
    - ``value``: name of its value in the exported graph.
    - ``ending``: how it ends, if that is by a layer, and by an addition to its own input.
    """

    name: str
    removal: Removal
    size: int
    units: tuple[tuple[str, Tensor], ...] = field(compare=False)
    groups: tuple[str, ...]
    tensors: tuple[str, ...]
    layers: tuple[int, ...]
    outer: tuple[str, ...]
    value: str
    ending: Ending | None = None


@dataclass(frozen=True, repr=False)
class Structure:
    """Structure of a model: which units its tensors share, and what its layers cost.

    - ``groups``: the decisions, in execution order.
    - ``pinned``: what must stay, each with its reason.
    - ``layers``: the operations that cost MACs, in execution order.
    - ``slices``: for each group, the places of its units.
    - ``tensors``: all parameters and buffers, tied ones once.
    - ``aliases``: other names of tied tensors -> the name used here.
    - ``widths``: (module path, attribute) -> extent, for sizes that no tensor shows.
    - ``renormalized``: groups that a layer or group norm runs over, whose statistics change when
      units go.
    - ``unused``: the parameters that no forward pass has used; they stay as they are.
    - ``options``: ints of modules that may hold a size with units in it, tried by the proof.
    - ``named``: those of them that the user names, tried first.
    - ``links``: (module path, size, width of its input) where the code may mean the width.
    - ``outputs``: names of the model's outputs that count; all of them where there are none.
    - ``branches``: what may go as a whole, outer ones first.
    - ``rescaled``: rows that are multiplied when places of a head go.
    """

    groups: tuple[Group, ...]
    pinned: tuple[Pinned, ...]
    layers: tuple[Layer, ...]
    slices: Mapping[str, tuple[Slice, ...]]
    tensors: tuple[TensorInfo, ...]
    aliases: Mapping[str, str]
    widths: Mapping[tuple[str, str], Extent]
    renormalized: frozenset[str] = frozenset()
    unused: tuple[str, ...] = ()
    options: tuple[tuple[tuple[str, str], Extent], ...] = ()
    links: tuple[tuple[str, Extent, Extent], ...] = ()
    outputs: tuple[str, ...] = ()
    named: frozenset[tuple[str, str]] = frozenset()
    branches: tuple[Branch, ...] = ()
    rescaled: tuple[Rescaled, ...] = ()

    def __str__(self) -> str:
        """Return the tables that ``autoprune inspect`` prints."""
        text: str = load_reference("autoprune.structure.view:structure_text")(self)
        return text

    def __repr__(self) -> str:
        """Return the number of groups and units."""
        return f"Structure({len(self.groups)} groups, {sum(self.sizes.values())} units)"

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Units of every group of the dense model."""
        return {group.name: group.size for group in self.groups}

    @cached_property
    def shared(self) -> dict[tuple[str, int], tuple[tuple[str, Tensor], ...]]:
        """For each (tensor, dim) that can shrink: the (group, index) pairs along it."""
        pairs: dict[tuple[str, int], list[tuple[str, Tensor]]] = {}
        for name, slices in self.slices.items():
            for one in slices:
                pairs.setdefault((one.tensor, one.dim), []).append((name, one.index))
        return {key: tuple(value) for key, value in pairs.items()}

    def dimension(self, tensor: str, dim: int) -> int:
        """Length of a dimension of the dense model."""
        return self._shapes[tensor][dim](self.sizes)

    @cached_property
    def _shapes(self) -> dict[str, tuple[Extent, ...]]:
        return {item.name: item.shape for item in self.tensors}
