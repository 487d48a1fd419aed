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
from autoprune.structure.statistics import keep_to_arithmetic
from autoprune.structure.trace import Trace, only_checks, operator_name, shape_of

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
    """Run the rule of an operator on labels; pin what it touches if it has none, or that fails."""
    name = operator_name(node)
    if only_checks(node):
        return None
    values = [*args, *kwargs.values()]
    keep_to_arithmetic(trace, name, values)
    rule = RULES.get(name) or RULES.get(name.rstrip("_"))
    if rule is None and torch.Tag.pointwise in getattr(node.target, "tags", ()):
        rule = elementwise.pointwise
    if rule is None:
        return pinned(trace, node, f"unknown operator {name}", values)
    try:
        return rule(trace, node, *args, **kwargs)
    except Exception as error:  # a use of the operator that its rule was not written for
        said = (str(error).strip().splitlines() or [""])[0]
        reason = f"the rule of {name} fails: {type(error).__name__}: {said}"
        return pinned(trace, node, reason, values)


def pinned(trace: Trace, node: Node, reason: str, values: list[Any]) -> Any:
    """Pin every unit that goes into an operator; return outputs of one size."""
    for value in values:
        trace.freeze(value, reason)
    output = node.meta.get("val")
    if isinstance(output, (tuple, list)):
        return tuple(
            trace.constant(item.shape, reason) if isinstance(item, torch.Tensor) else item
            for item in output
        )
    return trace.constant(shape_of(node), reason) if isinstance(output, torch.Tensor) else None
