"""Queries of attention: which outputs of which layer they are, seen behind in the graph."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.fx import Node
from torch.utils._pytree import tree_leaves

from autoprune.structure.labels import compress, spread
from autoprune.structure.rules.heads import MOVES, VIEWS
from autoprune.structure.trace import operator_name, shape_of


def rows_of(query: Node, makers: Mapping[Node, int]) -> tuple[Node, Tensor] | None:
    """Return the layer that makes a query, and which of its outputs do.

    ``makers`` are the layers, each with the dimension of its outputs. None if anything but moves
    lies between.
    """
    path: list[Node] = []
    node = query
    while node not in makers:
        before = node.args[0] if node.op == "call_function" and node.args else None
        others = [one for one in tree_leaves((node.args[1:], node.kwargs)) if isinstance(one, Node)]
        moves = operator_name(node) in MOVES or operator_name(node) == "getitem"
        if not moves or others or not isinstance(before, Node):
            return None
        path.append(node)
        node = before
    shape, dim = shape_of(node), makers[node]
    places = spread(torch.arange(shape[dim]), dim, shape)
    for one in reversed(path):
        if operator_name(one) in VIEWS:
            places = compress(places.reshape(shape_of(one)))
        else:
            places = one.target(places, *one.args[1:], **one.kwargs)  # type: ignore[operator]
    return node, torch.unique(places)
