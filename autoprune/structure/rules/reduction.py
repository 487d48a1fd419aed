"""Operators that look along a dimension: fine across space, a pin across units.

A mean or a softmax over units changes its value when some of them go, so none of them may.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.fx import Node

from autoprune.structure.rules.elementwise import pointwise
from autoprune.structure.statistics import statistic
from autoprune.structure.trace import MIXED, Param, Trace, operator_name, shape_of


def _dims(value: Any, dim: Any) -> list[int]:
    rank = len(value.shape)
    if dim is None:
        return list(range(rank))
    return [int(one) % rank for one in (dim if isinstance(dim, (list, tuple)) else [dim])]


def _pin_along(trace: Trace, node: Node, value: Tensor, dims: list[int]) -> None:
    if any(trace.labels.varies(value, dim) for dim in dims):
        trace.labels.pin(value, f"reduced over units by {node.name}")


def _sum_up(trace: Trace, node: Node, value: Tensor, dims: list[int]) -> Tensor | None:
    """Make one value of the units of a dimension, None if they vary along others too."""
    along = [dim for dim in dims if trace.labels.varies(value, dim)]
    if operator_name(node) not in _STATISTICS or trace.labels.varying(value) != along:
        return None
    if len(along) != 1 or _is_softmax(node):
        return None
    column = trace.labels.column(value, along[0])
    label = statistic(trace, column, f"reduced over units by {node.name}")
    return label.view((1,) * value.dim()).expand(value.shape)


def _is_softmax(node: Node) -> bool:
    """Whether exponentials are summed: a unit that is zero would still count as one."""
    source = node.args[0] if node.args else None
    while isinstance(source, Node) and operator_name(source) in ("to", "_to_copy", "mul", "div"):
        source = source.args[0] if source.args else None
    return isinstance(source, Node) and operator_name(source) in ("exp", "exp2", "expm1")


def reduce(trace: Trace, node: Node, value: Any, dim: Any = None, *args: Any, **kwargs: Any) -> Any:
    """Drop dimensions: mean, sum, max, norm."""
    output = node.meta["val"]
    shape = shape_of(node)
    if isinstance(dim, (Tensor, Param)):  # the larger or the smaller of two tensors
        return pointwise(trace, node, value, dim)
    if isinstance(value, Param):
        result: Any = _reduce_weight(trace, node, value, dim)
    else:
        dims = _dims(value, None if isinstance(dim, bool) else dim)
        total = _sum_up(trace, node, value, dims)
        if total is None:
            _pin_along(trace, node, value, dims)
        value = value if total is None else total
        for one in dims:
            value = value.narrow(one, 0, 1)
        if value.dim() != len(shape):
            for one in sorted(dims, reverse=True):
                value = value.squeeze(one)
        result = value.expand(shape)
    return tuple(result for _ in output) if isinstance(output, (tuple, list)) else result


def _reduce_weight(trace: Trace, node: Node, value: Param, dim: Any) -> Param:
    """Reduce a weight: what it is reduced over stays, its other dimensions remain its own."""
    shape = shape_of(node)
    reduced = _dims(value, None if isinstance(dim, bool) else dim)
    kept = [one for one in range(len(value.shape)) if one not in reduced]
    trace.freeze_lost(value, kept, f"a weight reduced by {node.name}")
    same_rank = len(shape) == len(value.shape)
    sources = []
    for name, dims in value.sources:
        full = tuple(None if one in reduced else dims[one] for one in range(len(dims)))
        sources.append((name, full if same_rank else tuple(dims[one] for one in kept)))
    return Param(tuple(sources), shape)


def norm(trace: Trace, node: Node, value: Any, *args: Any, **kwargs: Any) -> Any:
    """Reduce by a norm, whose dimension is the second argument after the order."""
    return reduce(trace, node, value, args[1] if len(args) > 1 else kwargs.get("dim"))


def along(trace: Trace, node: Node, value: Any, dim: Any = -1, *args: Any, **kwargs: Any) -> Any:
    """Mix along a dimension and keep it: softmax, cumsum, sort."""
    if isinstance(value, Param):
        trace.freeze(value, f"a weight mixed by {node.name}")
        return value
    _pin_along(trace, node, value, _dims(value, dim))
    output = node.meta["val"]
    return tuple(value for _ in output) if isinstance(output, (tuple, list)) else value


def spatial(trace: Trace, node: Node, value: Any, *args: Any, **kwargs: Any) -> Any:
    """Mix within each channel: pooling and resizing."""
    shapes = node.meta["val"]
    shape = shape_of(node)
    rank = len(shape) - _SPACE.get(node.name.rstrip("_0123456789"), len(shape) - 2)
    if isinstance(value, Param):
        return _resized(trace, node, value, rank)
    _pin_along(trace, node, value, list(range(rank, value.dim())))
    for dim in range(rank, value.dim()):
        value = value.narrow(dim, 0, 1)
    result = value.expand(shape)
    return tuple(result for _ in shapes) if isinstance(shapes, (tuple, list)) else result


def _resized(trace: Trace, node: Node, weight: Param, rank: int) -> Param:
    """Resize a table of positions: they stay, its channels remain its own."""
    shape = shape_of(node)
    trace.freeze_lost(weight, range(rank), f"a weight resized by {node.name}")
    lost = tuple(None if size == 1 else MIXED for size in shape[rank:])
    return Param(tuple((name, (*dims[:rank], *lost)) for name, dims in weight.sources), shape)


_STATISTICS = frozenset(("mean", "sum", "std", "var", "var_mean", "norm", "linalg_vector_norm"))
_SPACE = {
    f"{kind}_pool{rank}d{suffix}": rank
    for kind in ("avg", "max", "adaptive_avg", "adaptive_max", "lp", "fractional_max")
    for rank in (1, 2, 3)
    for suffix in ("", "_with_indices")
}
_RESIZE = (
    "upsample_nearest1d upsample_nearest2d upsample_nearest3d upsample_bilinear2d "
    "upsample_linear1d upsample_trilinear3d upsample_bicubic2d _upsample_nearest_exact1d "
    "_upsample_nearest_exact2d _upsample_bilinear2d_aa interpolate grid_sampler "
    "reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d "
    "replication_pad3d"
).split()

RULES = {
    **dict.fromkeys(("mean", "sum", "amax", "amin", "max", "min", "std", "var", "prod"), reduce),
    **dict.fromkeys(("logsumexp", "any", "all", "argmax", "argmin", "var_mean"), reduce),
    **dict.fromkeys(("norm", "linalg_vector_norm"), norm),
    **dict.fromkeys(("softmax", "_softmax", "log_softmax", "_log_softmax", "cumsum"), along),
    **dict.fromkeys(("sort", "softmin", "cumprod", "logcumsumexp"), along),
    **dict.fromkeys((*_SPACE, *_RESIZE), spatial),
}
