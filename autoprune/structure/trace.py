"""State of an analysis: labels, and the (parameter, dimension) each label is tied to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node
from torch.utils._pytree import tree_leaves

from autoprune.structure.labels import Labels, compress, spread, squash
from autoprune.structure.table import Role

MIXED = -1


@dataclass(frozen=True)
class Param:
    """A parameter or buffer on its way through the graph.

    ``sources`` lists (name, dims): for each current dimension the original one, None where the
    source has no extent, MIXED where its units are no longer distinguishable. ``whole`` is the
    shape of the one source while the elements are in its order: a view may bring it back.
    """

    sources: tuple[tuple[str, tuple[int | None, ...]], ...]
    shape: torch.Size
    whole: torch.Size | None = None


@dataclass(frozen=True)
class RawLayer:
    """A multiplying operator: (factor, label columns or sizes) for each of its products.

    ``reads`` and ``writes`` are the labels of the activations that go in and come out.
    """

    module: str
    kind: str
    weight: str | None
    products: tuple[tuple[int, tuple[Tensor | int, ...]], ...]
    reads: tuple[Tensor, ...] = ()
    writes: tuple[Tensor, ...] = ()
    node: Node | None = None


@dataclass(frozen=True, eq=False)
class Statistic:
    """A value that sums up the units of ``column``, and why it pins them unless it is a norm."""

    label: Tensor
    column: Tensor
    reason: str


@dataclass
class Trace:
    """State that the rules update while the graph is walked."""

    labels: Labels = field(default_factory=Labels)
    table: dict[tuple[str, int], Tensor] = field(default_factory=dict)
    roles: dict[tuple[str, int], Role] = field(default_factory=dict)
    kinds: dict[tuple[str, int], str] = field(default_factory=dict)
    layers: list[RawLayer] = field(default_factory=list)
    widths: dict[tuple[str, str], Tensor] = field(default_factory=dict)
    normed: list[Tensor] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    shapes: dict[str, torch.Size] = field(default_factory=dict)
    statistics: list[Statistic] = field(default_factory=list)
    returns: list[tuple[int, Tensor]] = field(default_factory=list)
    written: list[tuple[str, int, Tensor]] = field(default_factory=list)
    linked: frozenset[str] = frozenset()
    inputs: dict[str, list[Tensor]] = field(default_factory=dict)
    links: list[tuple[str, Tensor, Tensor]] = field(default_factory=list)
    sums: dict[Node, Tensor] = field(default_factory=dict)
    makers: dict[Node, tuple[int, tuple[str, ...]]] = field(default_factory=dict)
    rescaled: list[tuple[tuple[str, ...], Tensor, Tensor]] = field(default_factory=list)

    def register(self, key: tuple[str, int], column: Tensor, role: Role) -> Tensor:
        """Tie ``column`` (one label per index) to a dimension; return the labels it has now."""
        if key in self.table:
            self.labels.join(self.table[key], column)
            return self.table[key]
        self.table[key] = column
        self.roles[key] = role
        return column

    def tie(self, param: Param, dim: int, column: Tensor, role: Role) -> None:
        """Tie the units of ``column`` to a dimension of the tensors ``param`` is made of."""
        for name, dims in param.sources:
            source = dims[dim]
            if source == MIXED:
                self.labels.pin(column, f"meets a computed view of {name}")
            elif source is not None:
                self.register((name, source), column, role)

    def produce(self, param: Param, dim: int, kind: str) -> Tensor:
        """Return the labels of the units that a dimension of a weight makes."""
        column = self.labels.fresh(param.shape[dim])
        self.tie(param, dim, column, "out")
        for name, dims in param.sources:
            source = dims[dim]
            if source is not None and source != MIXED:
                self.roles[name, source] = "out"
                self.kinds.setdefault((name, source), kind)
        return column

    def activation(self, value: Any) -> Tensor:
        """See a value as an activation; a parameter makes units along its last real dimension."""
        if isinstance(value, Tensor):
            return value
        if not isinstance(value, Param):
            return torch.tensor(self.labels.fixed("a constant"))
        wide = [dim for dim, size in enumerate(value.shape) if size > 1]
        real = [dim for dim in wide if self._sources(value, dim) - {None, MIXED}] or wide
        if not real:
            return torch.tensor(self.labels.fixed("a constant")).expand(value.shape)
        return spread(self.produce(value, real[-1], "parameter"), real[-1], value.shape)

    @staticmethod
    def _sources(param: Param, dim: int) -> set[int | None]:
        return {dims[dim] for _, dims in param.sources}

    def freeze(self, value: Any, reason: str) -> None:
        """Pin all units that a value touches."""
        if isinstance(value, Tensor):
            self.labels.pin(value, reason)
        elif isinstance(value, Param):
            for dim, size in enumerate(value.shape):
                fixed = torch.tensor(self.labels.fixed(reason)).expand(size)
                self.tie(value, dim, fixed, "scale")
            for name, dims in value.sources:
                if dims:
                    self.kinds.setdefault((name, max(dims[0] or 0, 0)), "parameter")
        elif isinstance(value, (tuple, list)):
            for part in value:
                self.freeze(part, reason)

    def freeze_lost(self, param: Param, kept: Iterable[int], reason: str) -> None:
        """Pin all units of the tensors ``param`` is made of, but for those along ``kept``."""
        kept = list(kept)
        for name, dims in param.sources:
            for dim, size in enumerate(self.shapes[name]):
                if dim not in {dims[one] for one in kept} and size > 1:
                    fixed = torch.tensor(self.labels.fixed(reason)).expand(size)
                    self.register((name, dim), fixed, "scale")

    def is_statistic(self, value: Tensor) -> bool:
        """Whether a value sums up units and may still turn out to be part of a norm."""
        if not self.statistics:
            return False
        find, reason = self.labels.find, self.labels.reason
        known = {find(int(one.label)) for one in self.statistics if reason(int(one.label)) is None}
        return set(self.labels.roots(squash(value)).flatten().tolist()) <= known

    def constant(self, shape: torch.Size, reason: str) -> Tensor:
        """Return an activation of one unpruned size."""
        return torch.tensor(self.labels.fixed(reason)).expand(shape)

    def layer(
        self,
        node: Node,
        kind: str,
        weight: Param | None,
        products: list[tuple[int, tuple[Tensor | int, ...]]],
    ) -> None:
        """Note an operator that costs MACs (for the whole example batch)."""
        name = weight.sources[0][0] if weight else None
        self.layers.append(RawLayer(module_of(node), kind, name, tuple(products), node=node))

    def maker(self, node: Node, dim: int, params: Iterable[Any]) -> None:
        """Note that the first dimensions of tensors, taken as they are, make outputs along one."""
        own = [param for param in params if param is not None]
        if own and all(isinstance(one, Param) and one.whole == one.shape for one in own):
            names = tuple(name for param in own for name, _ in param.sources)
            self.makers[node] = (dim, names)

    def write(self, node: Node, size: int, column: Tensor) -> None:
        """Note a constant of the code that is the size of ``column``.

        It may be the width of the input of the module, which then goes with these units: so it is
        where the module is linked, and noted where not.
        """
        path = module_of(node)
        self.written.append((path, size, column))
        for width in self.inputs.get(path, ()):
            if len(width) == len(column) == size:
                if path in self.linked:
                    self.labels.join(column, width)
                else:
                    self.links.append((path, column, width))

    def enter(self, node: Node, values: Iterable[tuple[Node, Any]]) -> None:
        """Note the widths of what comes into the modules around an operator from outside."""
        for source, value in values:
            path, origin = module_of(node), module_of(source)
            while isinstance(value, Tensor) and value.dim() and not _inside(origin, path):
                widths = self.inputs.setdefault(path, [])
                widths.extend(self.labels.column(value, dim) for dim in self.labels.varying(value))
                path = path.rpartition(".")[0]

    def moves(self, since: int, inputs: Any, outputs: Any) -> None:
        """Note the activations of one operator: its first layer reads them, its last writes them.

        ``since`` is how many layers there were before it. The state of a recurrent layer stays
        inside it and does not count.
        """
        if len(self.layers) == since:
            return
        reads, writes = _activations(inputs), _activations(outputs)
        if self.layers[since].kind == "recurrent":
            reads, writes = reads[:1], writes[:1]
        self.layers[since] = replace(self.layers[since], reads=reads)
        self.layers[-1] = replace(self.layers[-1], writes=writes)


def _activations(values: Any) -> tuple[Tensor, ...]:
    return tuple(leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor))


def _inside(path: str, module: str) -> bool:
    return not module or path == module or path.startswith(f"{module}.")


def module_of(node: Node) -> str:
    """Path of the module whose forward holds the operator, '' for the model itself."""
    stack = node.meta.get("nn_module_stack") or {}
    paths = [path for path, _ in stack.values()]
    return paths[-1] if paths else ""


def operator_name(node: Node) -> str:
    """Name without name space and overload: ``aten.conv2d.default`` is ``conv2d``."""
    schema = getattr(node.target, "_schema", None)
    if schema is None:
        return str(getattr(node.target, "__name__", node.target))
    return str(schema.name).split("::")[-1]


def only_checks(node: Node) -> bool:
    """Whether an operator computes nothing: an assertion about sizes or types."""
    schema = getattr(node.target, "_schema", None)
    return schema is not None and not schema.returns and not schema.is_mutable


def shape_of(node: Node) -> torch.Size:
    """Shape of the operator's (first) output."""
    value = node.meta["val"]
    return torch.Size(value.shape if isinstance(value, Tensor) else value[0].shape)


def move(param: Param, operation: Any) -> Param:
    """Follow a movement operator on a parameter by running it on the coordinates of each dim."""
    results: list[tuple[str, tuple[int | None, ...]]] = []
    shape, whole = torch.Size(()), _whole_behind(param, operation)
    for name, dims in param.sources:
        origins: dict[int, int] = {}
        for dim, source in enumerate(dims):
            size = param.shape[dim]
            moved = compress(operation(spread(torch.arange(size), dim, param.shape)))
            shape = moved.shape
            axes = [d for d in range(moved.dim()) if moved.shape[d] > 1 and moved.stride(d) != 0]
            if len(axes) == 1 and source is not None and source != MIXED and size > 1:
                along = moved.movedim(axes[0], 0).reshape(moved.shape[axes[0]], -1)[:, 0]
                if torch.equal(along, torch.arange(size)):
                    origins[axes[0]] = source
        lost = tuple(None if size == 1 else MIXED for size in shape)
        results.append((name, tuple(origins.get(d, lost[d]) for d in range(len(shape)))))
    if whole == shape:
        results = [(name, tuple(range(len(shape)))) for name, _ in results]
    return Param(tuple(results), shape, whole)


def _whole_behind(param: Param, operation: Any) -> torch.Size | None:
    """Return the shape of the source if the operation only views its elements anew."""
    if param.whole is None:
        return None
    before = torch.arange(param.shape.numel())
    after = operation(before.view(param.shape)).flatten()
    return param.whole if torch.equal(before, after) else None
