"""Heads of attention: which dimension of a split they are, seen ahead in the graph.

A head goes as a whole: its size may be what attention scales by, what positions are rotated in or
what several layers share. The split into heads must keep the places of a head together, which is
decided long before attention is met.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.fx import Node
from torch.utils._pytree import tree_leaves

from autoprune.structure.labels import compress, spread
from autoprune.structure.trace import operator_name, shape_of

_ATTENTION = "scaled_dot_product_attention"
_PRODUCTS = frozenset(("matmul", "einsum", "bmm"))
_STEPS = 60
"""Operators that are looked at between a split and its attention."""

MOVES = frozenset(
    "permute transpose movedim moveaxis swapaxes unsqueeze squeeze unbind select chunk split "
    "slice split_with_sizes tensor_split contiguous clone expand view reshape flatten "
    "_unsafe_view".split()
)
VIEWS = frozenset("view reshape flatten _unsafe_view".split())

Places = tuple[Tensor, ...]
"""For each dimension of the split: the index along it that each element of a value came from."""


def heads_of(node: Node) -> int | None:
    """Dimension of a split that holds the heads of the attention behind it, if there are several.

    It may hold the samples too: some merge them with the heads.
    """
    shape = shape_of(node)
    start = tuple(spread(torch.arange(size), dim, shape) for dim, size in enumerate(shape))
    queue: list[tuple[Node, Places]] = [(node, start)]
    for one, places in queue:
        for user in one.users:
            if _attends(user):
                return _varying(places, -3, operator_name(user)) if places[0].dim() > 2 else None
            if len(queue) < _STEPS:
                queue.extend(_behind(user, one, places))
    return None


def _varying(places: Places, dim: int, operator: str) -> int | None:
    """Return the dimension that varies along ``dim``, if only one does.

    Products of three dimensions have the samples there too, and heads only beside them.
    """
    found = [
        origin
        for origin, place in enumerate(places)
        if bool((place != place.narrow(dim, 0, 1)).any())
    ]
    if operator == "bmm":
        found = [origin for origin in found if origin] if 0 in found else []
    return found[0] if len(found) == 1 else None


def _attends(node: Node) -> bool:
    """Whether an operator multiplies queries with keys, or scores with values, head by head."""
    name = operator_name(node)
    if name == _ATTENTION:
        return True
    factors = [item for item in tree_leaves(node.args) if isinstance(item, Node)]
    least = 3 if name == "bmm" else 4
    return (
        name in _PRODUCTS
        and len(factors) == 2
        and all(len(shape_of(item)) >= least and item.op == "call_function" for item in factors)
        and not any(map(_scaled_in_code, factors))
    )


def _scaled_in_code(factor: Node) -> bool:
    """Whether scores come out of ``baddbmm``, whose scale is a number: head sizes can go there."""
    for _ in range(_STEPS):
        if operator_name(factor) == "baddbmm":
            return True
        before = factor.args[0] if factor.op == "call_function" and factor.args else None
        if not isinstance(before, Node) or shape_of(before).numel() != shape_of(factor).numel():
            return False
        factor = before
    return False


def _behind(user: Node, node: Node, places: Places) -> list[tuple[Node, Places]]:
    """Follow a value through an operator that moves it or keeps its shape."""
    name = operator_name(user)
    if name == "getitem" or not user.args or user.op != "call_function":
        return []
    if name in MOVES and user.args[0] is node and not user.kwargs:
        results = user.meta["val"]
        if name in VIEWS:
            shape = shape_of(user)
            return [(user, tuple(compress(place.reshape(shape)) for place in places))]
        moved: list[Any] = [user.target(place, *user.args[1:]) for place in places]  # type: ignore[operator]
        if isinstance(results, Tensor):
            return [(user, tuple(moved))]
        return [
            (part, tuple(one[part.args[1]] for one in moved))
            for part in user.users
            if operator_name(part) == "getitem"
        ]
    kept = user.meta.get("val")
    if isinstance(kept, Tensor) and kept.shape == shape_of(node) and name != "linear":
        return [(user, places)]
    return []
