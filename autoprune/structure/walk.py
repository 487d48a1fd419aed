"""Walk through an exported graph, with labels in place of activations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from autoprune.structure.graph import ModelGraph
from autoprune.structure.rules import apply
from autoprune.structure.trace import Param, Trace


def walk(trace: Trace, graph: ModelGraph) -> None:
    """Run every operator of the graph on labels, and pin what the model gives out."""
    values: dict[Node, Any] = {}
    for node in graph.nodes:
        if node.op == "placeholder":
            values[node] = _placeholder(trace, graph, node)
        elif node.op == "call_function":
            values[node] = _call(trace, node, lambda one: values[one])
        elif node.op == "output":
            trace.freeze(_deep(list(node.args), lambda one: values[one]), "model output")
        else:
            values[node] = None


def _placeholder(trace: Trace, graph: ModelGraph, node: Node) -> Any:
    value = node.meta.get("val")
    if node.name in graph.names and isinstance(value, Tensor):
        trace.seen.add(graph.names[node.name])
        shape = torch.Size(value.shape)
        return Param(((graph.names[node.name], tuple(range(len(shape)))),), shape)
    if not isinstance(value, Tensor):
        return value
    reason = "a constant" if node.name in graph.constants else f"model input {node.name}"
    return trace.constant(value.shape, reason)


def _call(trace: Trace, node: Node, look_up: Callable[[Node], Any]) -> Any:
    args, kwargs = _deep(list(node.args), look_up), _deep(dict(node.kwargs), look_up)
    if getattr(node.target, "__name__", "") == "getitem" and not hasattr(node.target, "_schema"):
        return args[0][args[1]]
    layers = len(trace.layers)
    result = apply(trace, node, tuple(args), kwargs)
    trace.moves(layers, (args, kwargs), result)
    return result


def _deep(value: Any, look_up: Callable[[Node], Any]) -> Any:
    if isinstance(value, Node):
        return look_up(value)
    if isinstance(value, (list, tuple)):
        return [_deep(item, look_up) for item in value]
    if isinstance(value, dict):
        return {key: _deep(item, look_up) for key, item in value.items()}
    return value
