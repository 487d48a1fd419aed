"""Walk through an exported graph, with labels in place of activations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._ops import HigherOrderOperator
from torch.fx import GraphModule, Node

from autoprune.structure.branches import ADDITIONS
from autoprune.structure.graph import ModelGraph
from autoprune.structure.rules import apply
from autoprune.structure.trace import Param, Trace, operator_name


def walk(trace: Trace, graph: ModelGraph) -> None:
    """Run every operator of the graph on labels, and pin what is read of the model's results."""
    inputs = [node for node in graph.nodes if node.op == "placeholder"]
    given = [_placeholder(trace, graph, node) for node in inputs]
    results = _run(trace, graph.nodes, given)
    read = [one for place, one in enumerate(results) if place not in graph.unread]
    trace.freeze(read, "model output")


def _run(trace: Trace, nodes: Sequence[Node], given: Sequence[Any]) -> Any:
    """Run the operators of a graph, or of a graph inside it, on labels; return its outputs."""
    values: dict[Node, Any] = {}
    rest, used = iter(given), _used(nodes)
    for node in nodes:
        if node.op == "placeholder":
            values[node] = next(rest)
        elif node.op == "call_function" and node in used:
            values[node] = _call(trace, node, lambda one: values[one])
        elif node.op == "output":
            return _deep(node.args[0], lambda one: values[one])
        elif node.op == "get_attr":
            values[node] = _attribute(trace, node)
    return None


def _used(nodes: Sequence[Node]) -> set[Node]:
    """Return the nodes that outputs or changes in place come from; code may look at shapes only."""
    used: set[Node] = set()
    for node in reversed(nodes):
        schema = getattr(node.target, "_schema", None)
        if node.op == "output" or (schema is not None and schema.is_mutable) or node in used:
            used.update([node, *node.all_input_nodes])
    return used


def _attribute(trace: Trace, node: Node) -> Any:
    value: Any = node.graph.owning_module
    for name in str(node.target).split("."):
        value = getattr(value, name, None)
    return trace.constant(value.shape, "a constant") if isinstance(value, Tensor) else value


def _placeholder(trace: Trace, graph: ModelGraph, node: Node) -> Any:
    value = node.meta.get("val")
    if node.name in graph.names and isinstance(value, Tensor):
        name, shape = graph.names[node.name], torch.Size(value.shape)
        trace.shapes[name] = shape
        if node.users:
            trace.seen.add(name)
        return Param(((name, tuple(range(len(shape)))),), shape, shape)
    if not isinstance(value, Tensor):
        return value
    reason = "a constant" if node.name in graph.constants else f"model input {node.name}"
    return trace.constant(value.shape, reason)


def _call(trace: Trace, node: Node, look_up: Callable[[Node], Any]) -> Any:
    args, kwargs = _deep(list(node.args), look_up), _deep(dict(node.kwargs), look_up)
    if getattr(node.target, "__name__", "") == "getitem" and not hasattr(node.target, "_schema"):
        return args[0][args[1]]
    if isinstance(node.target, HigherOrderOperator):
        inner = [value for value in args if isinstance(value, GraphModule)]
        if len(inner) == 1:
            return _enter(trace, inner[0], args)
    trace.enter(node, [(one, look_up(one)) for one in node.all_input_nodes])
    layers = len(trace.layers)
    result = apply(trace, node, tuple(args), kwargs)
    trace.moves(layers, (args, kwargs), result)
    if operator_name(node) in ADDITIONS and isinstance(result, Tensor):
        trace.sums[node] = result
    return result


def _enter(trace: Trace, inner: GraphModule, args: Sequence[Any]) -> Any:
    """Walk into the graph of a block (autocast, no_grad); its inputs are the last arguments."""
    count = sum(node.op == "placeholder" for node in inner.graph.nodes)
    return _run(trace, tuple(inner.graph.nodes), args[len(args) - count :])


def _deep(value: Any, look_up: Callable[[Node], Any]) -> Any:
    if isinstance(value, Node):
        return look_up(value)
    if isinstance(value, (list, tuple)):
        return [_deep(item, look_up) for item in value]
    if isinstance(value, dict):
        return {key: _deep(item, look_up) for key, item in value.items()}
    return value
