"""Operators that work on each element alone: operands of one shape share their units."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.fx import Node

from autoprune.structure.labels import FREE, compress, squash
from autoprune.structure.statistics import use_up
from autoprune.structure.trace import Param, Trace, shape_of


def pointwise(trace: Trace, node: Node, *args: Any, **kwargs: Any) -> Any:
    """Join all operands; parameters among them are tied to the units they scale or shift."""
    operands = [value for value in (*args, *kwargs.values()) if isinstance(value, (Tensor, Param))]
    shape = shape_of(node)
    if not operands:
        return trace.constant(shape, "a constant")
    tensors = [value for value in operands if isinstance(value, Tensor)]
    params = [value for value in operands if isinstance(value, Param)]
    if not tensors:
        return _merge(trace, params, shape)
    for param in [one for one in params if _widens(one, tensors) and not _has(trace, one, tensors)]:
        params.remove(param)
        tensors.append(trace.activation(param))
    result = _lift(tensors[0], shape)
    for other in tensors[1:]:
        result = meet(trace, result, _lift(other, shape))
    result = result.expand(shape)
    for param in params:
        _tie(trace, result, param)
    return result


def meet(trace: Trace, left: Tensor, right: Tensor) -> Tensor:
    """Join two activations of equal rank, either of which may be broadcast over the other.

    A constant that is the same everywhere (a state that starts at zero) has no units of its own. If
    its size is one of the code, the proof of the other's units fails.
    """
    shape = torch.Size(np.broadcast_shapes(left.shape, right.shape))
    for one, other in ((left, right), (right, left)):
        if other.shape == shape and bool((squash(one) == trace.labels.fixed(UNIFORM)).all()):
            return other
    over_right = _broadcast_over(trace, left, right)
    over_left = _broadcast_over(trace, right, left)
    if over_left and over_right:
        small, large = sorted((left, right), key=lambda one: len(torch.unique(squash(one))))
        trace.labels.pin(small, "outer product of two activations")
        return large.expand(shape)  # an element has one unit: that of the larger group
    summed = trace.is_statistic(left), trace.is_statistic(right)
    if over_right and summed[0]:
        return _normalize(trace, left, right, shape)
    if over_left and summed[1]:
        return _normalize(trace, right, left, shape)
    if over_right:
        trace.labels.pin(left, "one value for all units of another group")
        return right.expand(shape)
    if over_left:
        trace.labels.pin(right, "one value for all units of another group")
        return left.expand(shape)
    if summed[0] != summed[1]:
        fixed, kept = (right, left) if summed[0] else (left, right)
        if _is_fixed(trace, fixed):
            return kept.expand(shape)
        use_up(trace, kept)
    trace.labels.join(left, right)
    left, right = squash(left), squash(right)
    return torch.where(left == FREE, right, left).expand(shape)


def _normalize(trace: Trace, statistic: Tensor, units: Tensor, shape: torch.Size) -> Tensor:
    """Scale or shift units by a statistic: a norm, if they turn out to be its own."""
    for label in torch.unique(squash(statistic)).tolist():
        trace.returns.append((label, units))
    return units.expand(shape)


def _is_fixed(trace: Trace, labels: Tensor) -> bool:
    return all(trace.labels.reason(one) for one in torch.unique(squash(labels)).tolist())


def _broadcast_over(trace: Trace, one: Tensor, other: Tensor) -> bool:
    """Whether ``one`` has a single value where ``other`` has several units."""
    free = bool((squash(one) == FREE).all()) or trace.is_statistic(one)
    return any(
        (one.shape[dim] == 1 or free) and trace.labels.varies(other, dim)
        for dim in range(one.dim())
    )


def _lift(labels: Tensor, shape: torch.Size) -> Tensor:
    return labels.reshape((1,) * (len(shape) - labels.dim()) + tuple(labels.shape))


def _widens(param: Param, tensors: list[Tensor]) -> bool:
    """Whether the parameter brings a dimension that no activation has."""
    return any(
        param.shape[-dim] > 1 and all(t.dim() < dim or t.shape[-dim] == 1 for t in tensors)
        for dim in range(1, len(param.shape) + 1)
    )


def _has(trace: Trace, param: Param, tensors: list[Tensor]) -> bool:
    """Whether the parameter has the units of an activation along one of its dimensions.

    It scales these then: an element has one unit, and what else it brings keeps its size.
    """
    return any(
        dim <= len(param.shape) and param.shape[-dim] > 1 and trace.labels.varies(one, -dim)
        for one in tensors
        for dim in range(1, one.dim() + 1)
    )


def _tie(trace: Trace, result: Tensor, param: Param) -> None:
    offset = result.dim() - len(param.shape)
    for dim, size in enumerate(param.shape):
        if size > 1 and trace.labels.varies(result, dim + offset):
            trace.tie(param, dim, trace.labels.column(result, dim + offset), "scale")


def add_bias(trace: Trace, scores: Tensor, bias: Any) -> Tensor:
    """Add a bias, or a mask, to the scores of attention: it has a row for each head, or one."""
    if isinstance(bias, Param):
        _tie(trace, scores, bias)
    elif isinstance(bias, Tensor) and trace.labels.varying(bias):
        return meet(trace, scores, _lift(bias, scores.shape)).expand(scores.shape)
    return scores


def _merge(trace: Trace, params: list[Param], shape: torch.Size) -> Param:
    """Combine parameters (weight = direction * scale): each keeps its own dimensions."""
    sources = []
    for param in params:
        offset = len(shape) - len(param.shape)
        present = [size > 1 for size in param.shape]
        for name, dims in param.sources:
            kept = tuple(dim if there else None for dim, there in zip(dims, present, strict=True))
            sources.append((name, (None,) * offset + kept))
    for one, other in pairwise(params):
        for dim in range(1, min(len(one.shape), len(other.shape)) + 1):
            if one.shape[-dim] == other.shape[-dim] > 1:
                column = trace.labels.fresh(one.shape[-dim])
                trace.tie(one, -dim, column, "scale")
                trace.tie(other, -dim, column, "scale")
    return Param(tuple(sources), shape)


def same(trace: Trace, node: Node, value: Any, *args: Any, **kwargs: Any) -> Any:
    """Pass through operators that change values or layout, not units."""
    if isinstance(value, Tensor):
        return compress(value.expand(shape_of(node)))
    return value


def factory(trace: Trace, node: Node, *args: Any, **kwargs: Any) -> Any:
    """Make a tensor whose size is written in the code."""
    return trace.constant(shape_of(node), "a constant")


def fill(trace: Trace, node: Node, *args: Any, **kwargs: Any) -> Any:
    """Make a tensor of one value whose size is written in the code."""
    return trace.constant(shape_of(node), UNIFORM)


UNIFORM = "a constant that is the same everywhere"
_FILLED = "zeros ones full new_zeros new_ones new_full".split()
_FACTORIES = ("empty rand randn arange linspace scalar_tensor eye tril_indices new_empty").split()
_SAME = (
    "dropout feature_dropout alpha_dropout feature_alpha_dropout contiguous clone alias detach to "
    "_to_copy lift_fresh_copy type_as hardtanh relu6 relu silu gelu elu selu leaky_relu rrelu "
    "hardswish hardsigmoid softplus mish celu log_sigmoid clamp nan_to_num zeros_like ones_like "
    "full_like"
).split()

RULES = {
    **dict.fromkeys(_SAME, same),
    **dict.fromkeys(_FACTORIES, factory),
    **dict.fromkeys(_FILLED, fill),
    **dict.fromkeys(("add", "sub", "mul", "div", "where", "masked_fill", "rsub"), pointwise),
}
