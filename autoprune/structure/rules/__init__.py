"""Rules of the operators on labels, and the table that new operators are added to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.fx import Node

from autoprune.structure.rules import (
    attention,
    elementwise,
    layers,
    movement,
    parts,
    recurrent,
    reduction,
)
from autoprune.structure.trace import Trace, shape_of

Rule = Callable[..., Any]
_FAMILIES: tuple[dict[str, Any], ...] = (
    elementwise.RULES,
    movement.RULES,
    parts.RULES,
    reduction.RULES,
    layers.RULES,
    attention.RULES,
    recurrent.RULES,
)
RULES: dict[str, Rule] = {name: rule for rules in _FAMILIES for name, rule in rules.items()}


def apply(trace: Trace, node: Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run the rule of an operator on labels; pin what an unknown operator touches."""
    name = operator_name(node)
    rule = RULES.get(name) or RULES.get(name.rstrip("_"))
    if rule is None and torch.Tag.pointwise in getattr(node.target, "tags", ()):
        rule = elementwise.pointwise
    if rule is None:
        return unknown(trace, node, name, [*args, *kwargs.values()])
    return rule(trace, node, *args, **kwargs)


def operator_name(node: Node) -> str:
    """Name without name space and overload: ``aten.conv2d.default`` is ``conv2d``."""
    schema = getattr(node.target, "_schema", None)
    if schema is None:
        return str(getattr(node.target, "__name__", node.target))
    return str(schema.name).split("::")[-1]


def unknown(trace: Trace, node: Node, name: str, values: list[Any]) -> Any:
    """Pin every unit that meets an operator without a rule."""
    reason = f"unknown operator {name}"
    for value in values:
        trace.freeze(value, reason)
    output = node.meta.get("val")
    if isinstance(output, (tuple, list)):
        return tuple(
            trace.constant(item.shape, reason) if isinstance(item, torch.Tensor) else item
            for item in output
        )
    return trace.constant(shape_of(node), reason) if isinstance(output, torch.Tensor) else None
