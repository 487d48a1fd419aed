"""Branches of a graph: what lies between a value and an addition that brings it back.

The cone of a value is everything that serves nothing but this value. Where a summand's cone starts
from a value that reaches the same addition by another way, the network still runs without the
summand, at the same shapes: residual blocks, inverted residuals, attention and MLP sub-layers.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from autoprune.structure.graph import ModelGraph
from autoprune.structure.table import Ending
from autoprune.structure.trace import RawLayer, Trace, module_of, only_checks, operator_name

ADDITIONS = ("add", "add_")
"""Operators that bring a branch back."""

_SAME = ("to", "_to_copy", "alias", "detach", "contiguous", "dropout")
"""Operators that may give out the very tensor that they take in."""


@dataclass(frozen=True)
class Cone:
    """A summand that may go.

    ``value`` is the summand, ``total`` the sum; ``nodes`` all that serves only the value; ``paths``
    the modules that run nothing else, outermost ones, in the order in which they start; ``dim`` the
    dimension of the value's units and ``column`` their labels; ``layers`` the places of its layers
    among those of the trace, ``tensors`` its parameters and buffers.
    """

    value: Node
    total: Node
    nodes: frozenset[Node]
    paths: tuple[str, ...]
    dim: int
    column: Tensor
    layers: tuple[int, ...]
    tensors: tuple[str, ...]
    ending: Ending | None


def find_cones(trace: Trace, graph: ModelGraph) -> list[Cone]:
    """Return the branches of the first graph that was walked, outer ones first."""
    network = _Network(trace, graph)
    found: list[Cone] = []
    for total, labels in reversed(trace.sums.items()):
        cones = [cone for cone in network.summands(total, labels) if cone is not None]
        outer = any(total in cone.nodes for cone in found)
        if len(cones) > 1 and not outer:  # both, and nothing would be left: a block, its shortcut
            cones = [max(cones, key=lambda cone: (len(cone.layers), len(cone.nodes)))]
        found.extend(cones)
    order = {node: place for place, node in enumerate(graph.nodes)}
    return sorted(found, key=lambda cone: (-len(cone.nodes), order[cone.value]))


class _Network:
    """Lookups in one graph: ancestors, modules, layers."""

    def __init__(self, trace: Trace, graph: ModelGraph) -> None:
        self._trace, self._names = trace, graph.names
        self._order = {node: place for place, node in enumerate(graph.nodes)}
        self._before = _ancestors(graph.nodes, self._order)
        self._runs: dict[str, set[Node]] = {}
        for node in graph.nodes:
            for path in _paths(node) if not _makes_nothing(node) else ():
                self._runs.setdefault(path, set()).add(node)

    def summands(self, total: Node, labels: Tensor) -> Iterable[Cone | None]:
        """Yield what may go of the two summands of an addition."""
        summands = [node for node in total.args[:2] if isinstance(node, Node)]
        dims = self._trace.labels.varying(labels)
        if len(summands) < 2 or total.kwargs or len(dims) != 1 or total not in self._order:
            return
        for value, other in zip(summands, reversed(summands), strict=True):
            if _shape(value) == _shape(total):
                yield self._cone(value, other, total, dims[0], labels)

    def _cone(self, value: Node, other: Node, total: Node, dim: int, labels: Tensor) -> Cone | None:
        nodes = self._serving(value, total)
        layers = self._layers(nodes)
        if not layers or not self._comes_back(nodes, other) or _brings_back(value, nodes):
            return None
        paths = self._modules(nodes)
        if not paths:
            return None
        tensors = tuple(
            name
            for name in self._trace.shapes
            if any(name.startswith(f"{path}.") for path in paths)
        )
        weights = [raw.weight for _, raw in layers]
        if not self._own(tensors, nodes) or any(w and w not in tensors for w in weights):
            return None
        column = self._trace.labels.column(labels, dim)
        places = tuple(place for place, _ in layers)
        ending = self._ending(value, other, paths[0])
        return Cone(value, total, frozenset(nodes), paths, dim, column, places, tensors, ending)

    def _ending(self, value: Node, other: Node, entry: str) -> Ending | None:
        """Describe the end of a branch that is added to what its first module reads."""
        reads = {one for node in self._runs[entry] for one in node.all_input_nodes}
        if other not in reads:
            return None
        node, norm = _source(value), None
        if operator_name(node) == "batch_norm":
            norm = module_of(node)
            before = node.args[0]
            node = _source(before) if isinstance(before, Node) else node
        layer = module_of(node)
        known = operator_name(node).startswith(("conv", "linear"))
        return Ending(layer, norm, entry) if known and self._runs.get(layer) == {node} else None

    def _serving(self, value: Node, total: Node) -> set[Node]:
        """Return the operators that serve nothing but ``value``, which is added only here."""
        nodes: set[Node] = set()
        if _users(value) != {total} or value.op != "call_function":
            return nodes
        nodes.add(value)
        waiting = list(value.all_input_nodes)
        while waiting:
            node = waiting.pop()
            if node.op == "call_function" and node not in nodes and _users(node) <= nodes:
                nodes.add(node)
                waiting.extend(node.all_input_nodes)
        return nodes

    def _comes_back(self, nodes: set[Node], other: Node) -> bool:
        """Whether an activation that goes into a cone reaches the other summand, or comes of it."""
        reaching = self._before[other] | 1 << self._order[other]
        entries = {one for node in nodes for one in node.all_input_nodes} - nodes
        return any(
            reaching >> self._order[entry] & 1 or self._before[entry] >> self._order[other] & 1
            for entry in entries
            if entry.name not in self._names and _is_activation(entry)
        )

    def _layers(self, nodes: set[Node]) -> list[tuple[int, RawLayer]]:
        return [(place, raw) for place, raw in enumerate(self._trace.layers) if raw.node in nodes]

    def _modules(self, nodes: set[Node]) -> tuple[str, ...]:
        """Return the outermost modules that run in a cone only, in the order of their start."""
        inside = {path for path, run in self._runs.items() if path and run <= nodes}
        outermost = [path for path in inside if _parent(path) not in inside]
        first = {path: min(self._order[node] for node in self._runs[path]) for path in outermost}
        return tuple(sorted(outermost, key=first.__getitem__))

    def _own(self, tensors: Sequence[str], nodes: set[Node]) -> bool:
        """Whether tensors are used in a cone only."""
        holders = {self._names[node.name]: node for node in self._order if node.name in self._names}
        return all(_users(holders[name]) <= nodes for name in tensors if name in holders)


def _brings_back(value: Node, nodes: Collection[Node]) -> bool:
    """Whether a summand is itself a sum with a value that goes on elsewhere: no branch, a way."""
    waiting = [value]
    while waiting:
        node = waiting.pop()
        if node not in nodes:
            return True
        if operator_name(node) in ADDITIONS or _makes_nothing(node):
            waiting.extend(one for one in node.all_input_nodes if _is_activation(one))
    return False


def names_of(
    cones: Sequence[Cone], taken: Iterable[str], shapes: Mapping[str, torch.Size]
) -> list[str]:
    """Name branches: by the module that holds all of one if it holds one, else the largest in it.

    ``shapes`` are those of parameters and buffers. Names that are ``taken`` get a suffix.
    """
    parents = [_common(cone.paths) for cone in cones]
    count, used = Counter(parents), set(taken)
    names = []
    for cone, parent in zip(cones, parents, strict=True):
        base = parent if parent and count[parent] == 1 else _largest(cone, shapes)
        name, number = base, 1
        while name in used:
            name = f"{base}:branch" if number == 1 else f"{base}:branch#{number}"
            number += 1
        used.add(name)
        names.append(name)
    return names


def _common(paths: Sequence[str]) -> str:
    """Path of the innermost module that holds all others, or is the only one."""
    parts = [path.split(".") for path in paths]
    shared = 0
    while all(len(one) > shared and one[shared] == parts[0][shared] for one in parts):
        shared += 1
    return ".".join(parts[0][:shared])


def _largest(cone: Cone, shapes: Mapping[str, torch.Size]) -> str:
    """Return the module of the most elements; of several, that which runs the most operators."""
    counts = Counter({path: 0 for path in cone.paths})
    for node in cone.nodes:
        counts.update(path for path in _paths(node) if path in counts)
    weights = dict.fromkeys(counts, 0)
    for name in cone.tensors:
        for path in weights:
            if name.startswith(f"{path}."):
                weights[path] += shapes[name].numel()
    return max(cone.paths, key=lambda path: (weights[path], counts[path]))


def _ancestors(nodes: Iterable[Node], order: Mapping[Node, int]) -> dict[Node, int]:
    """Return the nodes that each node comes from, as bits."""
    before: dict[Node, int] = {}
    for node in nodes:
        bits = 0
        for source in node.all_input_nodes:
            bits |= before[source] | 1 << order[source]
        before[node] = bits
    return before


def _paths(node: Node) -> list[str]:
    """Paths of the modules whose forward runs a node; a later call has a suffix there."""
    stack: dict[str, Any] = node.meta.get("nn_module_stack") or {}
    return [re.sub(r"@\d+", "", path) for path, _ in stack.values()]


def _users(node: Node) -> set[Node]:
    """Operators that use a node, without assertions about it."""
    return {user for user in node.users if not only_checks(user)}


def _source(node: Node) -> Node:
    """Return the operator that made a value which others only handed on."""
    while _makes_nothing(node):
        node = node.all_input_nodes[0]
    return node


def _makes_nothing(node: Node) -> bool:
    """Whether an operator makes no value of its own: what it takes in may be used elsewhere."""
    same = operator_name(node) in _SAME and len(node.all_input_nodes) == 1
    return same or only_checks(node)


def _parent(path: str) -> str:
    return path.rpartition(".")[0]


def _shape(node: Node) -> Any:
    return getattr(node.meta.get("val"), "shape", None)


def _is_activation(node: Node) -> bool:
    value = node.meta.get("val")
    return isinstance(value, Tensor) and value.is_floating_point() and value.dim() > 1
