"""Grouping of labels into a Structure: units decided together, pinned units, costs."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import torch
from torch import Tensor, nn

from autoprune.structure.branches import Cone, names_of
from autoprune.structure.graph import aliases
from autoprune.structure.kept_sizes import candidates
from autoprune.structure.labels import squash
from autoprune.structure.table import (
    Branch,
    Extent,
    Group,
    Layer,
    Pinned,
    Product,
    Removal,
    Rescaled,
    Slice,
    Structure,
    Template,
    TensorInfo,
)
from autoprune.structure.trace import RawLayer, Trace

Key = tuple[str, int]


def build(
    trace: Trace,
    model: nn.Module,
    batch: int,
    cones: Sequence[Cone] = (),
    templates: Mapping[str, Template] = MappingProxyType({}),
) -> Structure:
    """Turn a finished trace into a structure; ``batch`` samples were traced.

    ``cones`` are its branches, and ``templates`` what their modules give out.
    """
    roots = {key: trace.labels.roots(column) for key, column in trace.table.items()}
    owner = _owners(trace, roots)
    groups, slices = _groups(trace, roots, owner)
    names = {unit: group.name for group, units in groups for unit in units}
    count = _Counter(trace, names)
    known = aliases(model)
    structure = Structure(
        groups=tuple(group for group, _ in groups),
        pinned=_pinned(trace, roots, names),
        layers=tuple(_layer(raw, count, batch) for raw in trace.layers),
        slices=slices,
        tensors=_tensors(model, roots, known, count),
        aliases={name: first for name, first in known.items() if name != first},
        widths={key: count.extent(column) for key, column in trace.widths.items()},
        renormalized=frozenset(
            name for column in trace.normed for name, _ in count.extent(column).terms
        ),
    )
    structure = replace(
        structure,
        branches=_branches(trace, cones, templates, groups, slices),
        rescaled=_rescaled(trace, count),
    )
    written = [(path, size, count.extent(column)) for path, size, column in trace.written]
    links = {
        (path, count.extent(one), count.extent(other)): None for path, one, other in trace.links
    }
    return replace(
        structure,
        options=candidates(model, structure, written),
        links=tuple(link for link in links if link[1] != link[2]),
    )


def _rescaled(trace: Trace, count: _Counter) -> tuple[Rescaled, ...]:
    """Describe the rows that make queries, once each: some layers are used again and again."""
    found = {
        Rescaled(name, tuple(rows.tolist()), size): None
        for names, rows, column in trace.rescaled
        if (size := count.extent(column)).terms
        for name in names
    }
    return tuple(found)


def _branches(
    trace: Trace,
    cones: Sequence[Cone],
    templates: Mapping[str, Template],
    groups: Sequence[tuple[Group, list[int]]],
    slices: Mapping[str, tuple[Slice, ...]],
) -> tuple[Branch, ...]:
    """Describe the branches whose modules give out what can be told, outer ones first."""
    known = [cone for cone in cones if all(path in templates for path in cone.paths)]
    names = names_of(known, slices, trace.shapes)
    branches = []
    for name, cone in zip(names, known, strict=True):
        column = trace.labels.roots(cone.column)
        along = [(group, _along(column, units)) for group, units in groups]
        inside = set(cone.tensors)
        branches.append(
            Branch(
                name,
                Removal(
                    cone.paths,
                    tuple(templates[path] for path in cone.paths),
                    rank=cone.value.meta["val"].dim(),
                    dim=cone.dim,
                ),
                len(column),
                tuple((group.name, index) for group, index in along if index.numel()),
                tuple(
                    group.name
                    for group, _ in groups
                    if all(one.tensor in inside for one in slices[group.name])
                ),
                cone.tensors,
                cone.layers,
                tuple(
                    other
                    for other, outer in zip(names, known, strict=True)
                    if cone.total in outer.nodes
                ),
                cone.value.name,
                cone.ending,
            )
        )
    return tuple(branches)


def _along(column: Tensor, units: list[int]) -> Tensor:
    """Positions of a group's units along a column of labels, [size, multiplicity], or none."""
    count = int(torch.isin(column, torch.tensor(units)).sum())
    return _places(column, units, count // len(units))


class _Counter:
    """Counter of labels: how many are fixed, how many belong to each group."""

    def __init__(self, trace: Trace, names: Mapping[int, str]) -> None:
        self._trace, self._names = trace, names
        self._units = Counter(names.values())

    def extent(self, column: Tensor | int) -> Extent:
        """Length of a dimension with these labels; a plain size is fixed."""
        if isinstance(column, int):
            return Extent(column)
        owners = Counter(
            self._names.get(label) for label in self._trace.labels.roots(column).tolist()
        )
        fixed = owners.pop(None, 0)
        return Extent(
            fixed,
            tuple((name, times // self._units[name]) for name, times in owners.items() if name),
        )

    def elements(self, activations: Sequence[Tensor], batch: int) -> Extent:
        """Elements of activations with these labels, per sample: each goes with its unit."""
        fixed, terms = 0, Counter[str]()
        for labels in activations:
            small = squash(labels)
            alike = labels.numel() // max(small.numel(), 1)
            extent = self.extent(small.flatten())
            fixed += alike * extent.fixed
            terms.update({name: alike * times for name, times in extent.terms})
        return Extent(
            fixed // batch, tuple((name, times // batch) for name, times in terms.items())
        )


def _owners(trace: Trace, roots: Mapping[Key, Tensor]) -> dict[int, list[tuple[Key, int]]]:
    """For every unit that may go: the (tensor, dim) it lies on and how often, in order."""
    positions: dict[int, list[tuple[Key, int]]] = defaultdict(list)
    for key, column in roots.items():
        for label, times in Counter(column.tolist()).items():
            if trace.labels.reason(label) is None:
                positions[label].append((key, times))
    return {
        label: places
        for label, places in positions.items()
        if any(trace.roles[key] == "out" for key, _ in places)
    }


def _groups(
    trace: Trace, roots: Mapping[Key, Tensor], owner: Mapping[int, list[tuple[Key, int]]]
) -> tuple[list[tuple[Group, list[int]]], dict[str, tuple[Slice, ...]]]:
    same: dict[tuple[tuple[Key, int], ...], list[int]] = defaultdict(list)
    for label, places in owner.items():
        same[tuple(places)].append(label)
    taken: Counter[str] = Counter()
    groups, slices = [], {}
    for shared, units in same.items():
        places = list(shared)
        if len(units) < 2:
            continue
        first = next(key for key, _ in places if trace.roles[key] == "out")
        base = _module_name(first[0])
        taken[base] += 1
        name = base if taken[base] == 1 else f"{base}#{taken[base]}"
        group = Group(name, len(units), trace.kinds.get(first, "parameter"))
        groups.append((group, units))
        slices[name] = tuple(
            Slice(key[0], key[1], trace.roles[key], _places(roots[key], units, times))
            for key, times in places
        )
    return groups, slices


def _places(column: Tensor, units: list[int], times: int) -> Tensor:
    wanted = torch.tensor(units)
    order = torch.argsort(wanted)
    where = torch.isin(column, wanted).nonzero().flatten()
    row = order[torch.searchsorted(wanted[order], column[where])]
    return where[torch.argsort(row, stable=True)].view(len(units), times)


def _module_name(tensor: str) -> str:
    head, _, last = tensor.rpartition(".")
    return head if head and last.startswith(("weight", "bias", "in_proj")) else tensor


def _pinned(
    trace: Trace, roots: Mapping[Key, Tensor], names: Mapping[int, str]
) -> tuple[Pinned, ...]:
    """Count the indices that weights make and that must stay, by reason."""
    counts: Counter[tuple[str, str]] = Counter()
    for key, column in roots.items():
        if trace.roles[key] != "out" or not key[0].split(".")[-1].startswith(
            ("weight", "in_proj_weight")
        ):
            if trace.kinds.get(key) is None:
                continue
        for label in column.tolist():
            if label not in names:
                reason = trace.labels.reason(label) or "a single unit"
                counts[_module_name(key[0]), reason] += 1
    return tuple(Pinned(name, size, reason) for (name, reason), size in counts.items())


def _layer(raw: RawLayer, count: _Counter, batch: int) -> Layer:
    products = []
    for factor, columns in raw.products:
        extents = [count.extent(column) for column in columns]
        fixed = factor
        for extent in extents:
            if not extent.terms:
                fixed *= extent.fixed
        open_extents = tuple(extent for extent in extents if extent.terms)
        products.append(Product(fixed // batch, open_extents))
    reads, writes = count.elements(raw.reads, batch), count.elements(raw.writes, batch)
    return Layer(raw.module, raw.kind, raw.weight, tuple(products), reads, writes)


def _tensors(
    model: nn.Module, roots: Mapping[Key, Tensor], known: Mapping[str, str], count: _Counter
) -> tuple[TensorInfo, ...]:
    result = []
    parameters = {name for name, _ in model.named_parameters()}
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if known[name] != name:
            continue
        shape = tuple(
            count.extent(roots[name, dim]) if (name, dim) in roots else Extent(size)
            for dim, size in enumerate(tensor.shape)
        )
        result.append(TensorInfo(name, name in parameters, tensor.element_size(), shape))
    return tuple(result)
