"""Heads of attention: which dimension of a split they are, seen ahead in the graph.

Where attention scales by the size of a head, a head goes as a whole or not at all: the split into
heads must keep the places of a head together, which is decided long before attention is met.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from autoprune.structure.trace import MIXED, Param, move, operator_name, shape_of

_ATTENTION = "scaled_dot_product_attention"
_STEPS = 60
"""Operators that are looked at between a split and its attention."""

_MOVES = frozenset(
    "permute transpose movedim moveaxis swapaxes unsqueeze squeeze unbind select chunk split slice "
    "contiguous clone expand view reshape flatten _unsafe_view".split()
)
_VIEWS = frozenset("view reshape flatten _unsafe_view".split())


def heads_of(node: Node) -> int | None:
    """Dimension of a split that holds the heads of an attention which scales by their size."""
    rank = len(shape_of(node))
    start = Param((("", tuple(range(rank))),), shape_of(node))
    queue: list[tuple[Node, Param]] = [(node, start)]
    for one, value in queue:
        for user in one.users:
            if operator_name(user) == _ATTENTION:
                found = value.sources[0][1][-3] if len(value.shape) > 2 else None
                return found if _scales(user) and found not in (None, MIXED) else None
            if len(queue) < _STEPS:
                queue.extend(_behind(user, one, value))
    return None


def _scales(node: Node) -> bool:
    return node.kwargs.get("scale") is None


def _behind(user: Node, node: Node, value: Any) -> list[tuple[Node, Param]]:
    """Follow a value through an operator that moves it or keeps its shape."""
    name = operator_name(user)
    if name == "getitem" or not user.args or user.op != "call_function":
        return []
    if name in _MOVES and user.args[0] is node and not user.kwargs:
        args = user.args[1:]
        results = user.meta["val"]
        if name in _VIEWS:
            return [(user, move(value, lambda tensor: tensor.reshape(shape_of(user))))]
        if isinstance(results, Tensor):
            return [(user, move(value, lambda tensor: user.target(tensor, *args)))]  # type: ignore[operator]
        return [
            (part, move(value, lambda tensor, i=part.args[1]: user.target(tensor, *args)[i]))  # type: ignore[operator]
            for part in user.users
            if operator_name(part) == "getitem"
        ]
    kept = user.meta.get("val")
    if isinstance(kept, torch.Tensor) and kept.shape == value.shape and name != "linear":
        return [(user, value)]
    return []
