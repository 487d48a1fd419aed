"""Layers with weights: convolution, linear, embedding, and the norms between them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from torch import Tensor
from torch.fx import Node

from autoprune.structure.labels import spread
from autoprune.structure.trace import Param, Trace, module_of, shape_of


def conv(
    trace: Trace,
    node: Node,
    value: Tensor,
    weight: Any,
    bias: Any = None,
    *args: Any,
    **kwargs: Any,
) -> Any:
    """Convolve; weight [out, in / groups, *kernel]."""
    groups = _groups(args, kwargs)
    source = trace.labels.column(value, _channel_dim(value, weight))
    if not isinstance(weight, Param):
        return _dynamic(trace, node, value, weight)
    per_group = weight.shape[1]
    if groups == 1:
        trace.tie(weight, 1, source, "in")
        out = trace.produce(weight, 0, "conv")
    elif per_group == 1:
        out = source.repeat_interleave(weight.shape[0] // groups)
        trace.tie(weight, 0, out, "scale")
    else:
        trace.tie(weight, 1, _fold(trace, source, groups), "in")
        out = trace.produce(weight, 0, "conv")
        _fold(trace, out, groups)
    trace.maker(node, _channel_dim(value, weight), (weight, bias))
    reads = 1 if per_group == 1 and groups > 1 else source[:per_group]
    return _convolved(trace, node, weight, bias, out, reads, shape_of(node)[-_space(weight) :])


def conv_transpose(
    trace: Trace,
    node: Node,
    value: Tensor,
    weight: Any,
    bias: Any = None,
    *args: Any,
    **kwargs: Any,
) -> Any:
    """Convolve transposed; weight [in, out / groups, *kernel]."""
    groups = _groups(args, kwargs)
    source = trace.labels.column(value, _channel_dim(value, weight))
    if not isinstance(weight, Param):
        return _dynamic(trace, node, value, weight)
    depthwise = groups > 1 and weight.shape[0] == groups
    trace.tie(weight, 0, source, "scale" if depthwise else "in")
    if depthwise:
        out = source.repeat_interleave(weight.shape[1])
    else:
        out = trace.produce(weight, 1, "conv")
        if groups > 1:
            _fold(trace, source, groups)
            out = out.repeat(groups)
    reads: Tensor | int = 1 if depthwise else source[: weight.shape[0] // groups]
    positions = value.shape[-_space(weight) :]
    return _convolved(trace, node, weight, bias, out, reads, positions)


def _convolved(
    trace: Trace,
    node: Node,
    weight: Param,
    bias: Any,
    out: Tensor,
    reads: Tensor | int,
    positions: Any,
) -> Tensor:
    shape = shape_of(node)
    dim = len(shape) - _space(weight) - 1
    _add_bias(trace, out, bias)
    factor = math.prod(weight.shape[2:]) * math.prod(positions) * math.prod(shape[:dim])
    trace.layer(node, "conv", weight, [(factor, (out, reads))])
    return spread(out, dim, shape)


def _add_bias(trace: Trace, out: Tensor, bias: Any) -> None:
    if isinstance(bias, Param):
        trace.tie(bias, 0, out, "out")
    elif isinstance(bias, Tensor):  # put together from parts
        trace.labels.join(out, bias)


def _space(weight: Param) -> int:
    return len(weight.shape) - 2


def _channel_dim(value: Tensor, weight: Any) -> int:
    return value.dim() - (len(weight.shape) - 2) - 1


def _groups(args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    # Behind the bias both families have three other arguments first.
    return int(kwargs.get("groups", args[3] if len(args) > 3 else 1))


def _fold(trace: Trace, column: Tensor, groups: int) -> Tensor:
    """Tie the units at the same place of every group; return those of the first."""
    rows = column.view(groups, -1)
    trace.labels.join(rows, rows[:1])
    return rows[0]


def _dynamic(trace: Trace, node: Node, *values: Any) -> Tensor:
    for value in values:
        trace.freeze(value, "a weight computed from activations")
    return trace.constant(shape_of(node), "a weight computed from activations")


def linear(trace: Trace, node: Node, value: Any, weight: Any, bias: Any = None) -> Any:
    """Multiply; weight [out, in]."""
    if not isinstance(weight, Param) or not isinstance(value, Tensor):
        return _dynamic(trace, node, value, weight)
    shape, last = shape_of(node), value.dim() - 1
    varying = trace.labels.varying(value)
    if varying and last not in varying:
        return _across(trace, node, value, weight, varying)
    source = trace.labels.column(value, last)
    trace.tie(weight, 1, source, "in")
    out = trace.produce(weight, 0, "linear")
    _add_bias(trace, out, bias)
    trace.maker(node, last, (weight, bias))
    trace.layer(node, "linear", weight, [(math.prod(shape[:-1]), (out, source))])
    return spread(out, len(shape) - 1, shape)


def _across(trace: Trace, node: Node, value: Tensor, weight: Param, varying: list[int]) -> Tensor:
    """Multiply along positions, one unit at a time (an MLP-mixer's token mixing).

    The units pass through; those of the weight stay, as one element cannot belong to two groups.
    """
    shape = shape_of(node)
    out = trace.produce(weight, 0, "linear")
    trace.labels.pin(out, "works across the positions of another group")
    rows: list[Tensor | int] = [trace.labels.column(value, dim) for dim in varying]
    factor = math.prod(shape) * value.shape[-1] // math.prod(shape[dim] for dim in varying)
    trace.layer(node, "linear", weight, [(factor, tuple(rows))])
    return value.narrow(-1, 0, 1).expand(shape)


def grouped_mm(trace: Trace, node: Node, value: Any, weight: Any, *args: Any, **kwargs: Any) -> Any:
    """Multiply rows, each by the matrix of its expert; weight [experts, in, out]."""
    if not isinstance(weight, Param) or not isinstance(value, Tensor) or value.dim() != 2:
        return _dynamic(trace, node, value, weight)
    shape = shape_of(node)
    source = trace.labels.column(value, 1)
    trace.tie(weight, 1, source, "in")
    out = trace.produce(weight, 2, "linear")
    trace.layer(node, "linear", weight, [(shape[0], (out, source))])
    return spread(out, 1, shape)


def embedding(trace: Trace, node: Node, weight: Any, *args: Any, **kwargs: Any) -> Any:
    """Look up rows; weight [entries, features]."""
    shape = shape_of(node)
    if not isinstance(weight, Param):
        return _dynamic(trace, node, weight)
    return spread(trace.produce(weight, 1, "embedding"), len(shape) - 1, shape)


def channel_norm(trace: Trace, node: Node, value: Any, *args: Any, **kwargs: Any) -> Any:
    """Normalize each channel on its own: batch norm, instance norm, PReLU."""
    params = [item for item in (*args, *kwargs.values()) if isinstance(item, Param)]
    if isinstance(value, Param):
        return _standardize(trace, node, value, params)
    column = trace.labels.column(value, 1 if value.dim() > 1 else 0)
    for param in params:
        if param.shape[0] > 1:
            trace.tie(param, 0, column, "scale")
    if not params:
        trace.widths.setdefault((module_of(node), "num_features"), column)
    return value


def _standardize(trace: Trace, node: Node, weight: Param, params: list[Param]) -> Param:
    """Normalize a weight for each of the units it makes, over what it reads: a norm of that."""
    place = 1 if len(weight.shape) > 1 else 0
    if weight.whole is not None and weight.sources[0][1][place] == 0:
        _norm_over(trace, weight, [1])
    else:
        trace.freeze_lost(weight, [place], f"a weight normalized by {node.name}")
    column = trace.labels.fresh(weight.shape[place])
    trace.tie(weight, place, column, "scale")
    for param in params:
        if param.shape[0] > 1:
            trace.tie(param, 0, column, "scale")
    return weight


def _norm_over(trace: Trace, weight: Param, dims: Iterable[int]) -> None:
    """Note that a weight is normalized over dimensions of its source: the rest changes with them.

    They only scale: what such a weight reads cannot be repaired as that of a plain layer.
    """
    for name, _ in weight.sources:
        for dim in dims:
            size = trace.shapes[name][dim]
            if size > 1:
                column = trace.register((name, dim), trace.labels.fresh(size), "scale")
                trace.normed.append(column)


def group_norm(
    trace: Trace, node: Node, value: Tensor, groups: int, *params: Any, **kw: Any
) -> Any:
    """Normalize groups of channels: each loses the same places."""
    column = trace.labels.column(value, 1)
    trace.normed.append(column)
    _fold(trace, column, groups)
    for param in (*params, *kw.values()):
        if isinstance(param, Param):
            trace.tie(param, 0, column, "scale")
    trace.widths.setdefault((module_of(node), "num_channels"), column)
    return value


def layer_norm(
    trace: Trace, node: Node, value: Tensor, shape: list[int], *params: Any, **kw: Any
) -> Any:
    """Normalize the last dimensions together (layer norm, RMS norm)."""
    offset = value.dim() - len(shape)
    for place in range(len(shape)):
        column = trace.labels.column(value, offset + place)
        trace.normed.append(column)
        for param in (*params, *kw.values()):
            if isinstance(param, Param):
                trace.tie(param, place, column, "scale")
        if len(shape) == 1:
            trace.widths.setdefault((module_of(node), "normalized_shape"), column)
            own = [one for one in (*params, *kw.values()) if isinstance(one, Param)]
            trace.maker(node, offset, own)
    return value


def weight_norm(trace: Trace, node: Node, direction: Any, size: Any, dim: int = 0) -> Any:
    """Divide a weight by its norms over all dimensions but one: what goes adds nothing to them.

    Along that one nothing may go: where all is zero, nothing can be divided by the norm.
    """
    if not isinstance(direction, Param) or not isinstance(size, Param) or direction.whole is None:
        return _dynamic(trace, node, direction, size)
    rest = [one for one in range(len(direction.shape)) if one != dim]
    trace.freeze(size, _WEIGHT_NORM)
    trace.freeze_lost(direction, rest, _WEIGHT_NORM)
    _norm_over(trace, direction, [one for one in rest if one < 2])
    weight = Param(direction.sources, direction.shape)
    return (weight, size) if isinstance(node.meta["val"], (tuple, list)) else weight


_WEIGHT_NORM = "weight norm; remove the parametrization to prune it"

RULES = {
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), conv),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), conv_transpose),
    **dict.fromkeys(("batch_norm", "instance_norm", "prelu"), channel_norm),
    **dict.fromkeys(("layer_norm", "rms_norm"), layer_norm),
    **dict.fromkeys(("_weight_norm", "_weight_norm_interface"), weight_norm),
    "linear": linear,
    **dict.fromkeys(("_grouped_mm", "grouped_mm_fallback"), grouped_mm),
    "embedding": embedding,
    "group_norm": group_norm,
}
