"""Operators that move elements: they run on labels as themselves.

Where a dimension is split into rows, only whole rows can go: units at the same place of each row
are tied, and the dimension written as -1 (else the last) is the one that shrinks.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from autoprune.structure.labels import FREE, compress
from autoprune.structure.rules.heads import heads_of
from autoprune.structure.trace import Param, Trace, move, shape_of


def plain(trace: Trace, node: Node, value: Any, *args: Any, **kwargs: Any) -> Any:
    """Run the operator itself on the labels (or on the coordinates of a parameter)."""
    if isinstance(value, Param):
        return move(value, lambda tensor: node.target(tensor, *args, **kwargs))  # type: ignore[operator]
    return compress(node.target(trace.activation(value), *args, **kwargs))  # type: ignore[operator]


def reshape(trace: Trace, node: Node, value: Any, *args: Any, **kwargs: Any) -> Any:
    """View and flatten: tie rows where a dimension is split."""
    shape = shape_of(node)
    wanted = args[0] if args and isinstance(args[0], (list, tuple)) else shape
    return _reshape(trace, node, value, shape, wanted)


def reshape_as(trace: Trace, node: Node, value: Any, other: Any) -> Any:
    """View in the shape of another value: where both have units, they go together."""
    result = _reshape(trace, node, value, shape_of(node), shape_of(node))
    if isinstance(result, Tensor) and isinstance(other, Tensor):
        for dim in range(result.dim()):
            if trace.labels.varies(result, dim) and trace.labels.varies(other, dim):
                trace.labels.join(trace.labels.column(result, dim), trace.labels.column(other, dim))
    return result


def unflatten(trace: Trace, node: Node, value: Any, dim: int, sizes: list[int]) -> Any:
    """Split one dimension into several."""
    dim %= len(value.shape)
    wanted = [*value.shape[:dim], *sizes, *value.shape[dim + 1 :]]
    return _reshape(trace, node, value, shape_of(node), wanted)


def _reshape(trace: Trace, node: Node, value: Any, shape: torch.Size, wanted: Any) -> Any:
    if isinstance(value, Param):
        return move(value, lambda tensor: tensor.reshape(shape))
    result = compress(trace.activation(value).reshape(shape))
    open_dim = next((dim for dim, size in enumerate(wanted) if size == -1), None)
    for block in _blocks(tuple(value.shape), tuple(shape)):
        varying = [dim for dim in block if trace.labels.varies(result, dim)]
        heads = heads_of(node) if len(varying) > 1 else None
        _tie_rows(trace, result, varying, open_dim if heads is None else heads)
    for dim, size in enumerate(wanted):
        if size != -1 and trace.labels.varies(result, dim):
            trace.write(node, size, trace.labels.column(result, dim))
    return result


def _tie_rows(trace: Trace, labels: Tensor, varying: list[int], open_dim: int | None) -> None:
    keeper = open_dim if open_dim in varying else (varying or [0])[-1]
    for dim in varying:
        if dim != keeper:
            trace.labels.join(labels, labels.narrow(dim, 0, 1))


def _blocks(before: tuple[int, ...], after: tuple[int, ...]) -> list[list[int]]:
    """Group the output dimensions that come out of the same run of input dimensions."""
    blocks, i, j = [], 0, 0
    while i < len(before) and j < len(after):
        start, left, right = j, before[i], after[j]
        i, j = i + 1, j + 1
        while left != right:
            if left < right:
                left, i = left * before[i], i + 1
            else:
                right, j = right * after[j], j + 1
        blocks.append(list(range(start, j)))
    return blocks


def expand(trace: Trace, node: Node, value: Any, *args: Any, **kwargs: Any) -> Any:
    """Repeat along a dimension; one value expanded over units adapts to any number of them."""
    shape = shape_of(node)
    if isinstance(value, Param):
        return move(value, lambda tensor: tensor.expand(shape))
    result = value.expand(shape)
    if trace.is_statistic(value):
        return result
    if not trace.labels.varying(result) and _grows_inside(value, shape):
        trace.labels.pin(value, "one value for all units of another group")
        return torch.tensor(FREE).expand(shape)
    return result


def _grows_inside(value: Tensor, shape: torch.Size) -> bool:
    offset = len(shape) - value.dim()
    return any(
        size > 1 and dim > 0 and (dim < offset or value.shape[dim - offset] == 1)
        for dim, size in enumerate(shape)
    )


def meshgrid(trace: Trace, node: Node, values: Any, indexing: str = "ij") -> Any:
    """Spread several lines over a grid, each along its own dimension."""
    lines = [trace.activation(value) for value in values]
    return tuple(compress(grid) for grid in torch.meshgrid(*lines, indexing=indexing))


def cat(trace: Trace, node: Node, values: Any, dim: int = 0) -> Any:
    """Concatenate; labels that stay constant in other dimensions stay cheap."""
    tensors = [trace.activation(value) for value in values]
    tensors = [value for value in tensors if value.numel()]
    dim %= tensors[0].dim()
    thin = [
        other
        for other in range(tensors[0].dim())
        if other != dim and all(value.stride(other) == 0 for value in tensors)
    ]
    for other in thin:
        tensors = [value.narrow(other, 0, 1) for value in tensors]
    for value in tensors:
        # A unit that goes must go from every row, whichever part the row came from.
        _tie_across(trace, tensors[0], value, dim)
    return compress(torch.cat(tensors, dim).expand(shape_of(node)))


def _tie_across(trace: Trace, one: Tensor, other: Tensor, dim: int) -> None:
    if any(trace.labels.varies(value, d) for value in (one, other) for d in _rest(one, dim)):
        trace.labels.join(one.narrow(dim, 0, 1), other)


def _rest(labels: Tensor, dim: int) -> list[int]:
    return [other for other in range(labels.dim()) if other != dim]


def stack(trace: Trace, node: Node, values: Any, dim: int = 0) -> Any:
    """Stack: a concatenation along a new dimension."""
    dim %= values[0].dim() + 1 if isinstance(values[0], Tensor) else len(values[0].shape) + 1
    return cat(trace, node, [trace.activation(value).unsqueeze(dim) for value in values], dim)


def rows_of(labels: Tensor, dim: int, *sizes: int) -> Tensor:
    """Split a dimension into rows, without a rule of its own."""
    dim %= labels.dim()
    return compress(labels).reshape(*labels.shape[:dim], *sizes, *labels.shape[dim + 1 :])


def pad(
    trace: Trace,
    node: Node,
    value: Any,
    amounts: list[int],
    mode: str = "constant",
    fill: float | None = None,
) -> Any:
    """Pad: what is added has a size of its own."""
    labels = trace.activation(value)
    padding = trace.labels.fixed("zero padding across units")
    for place in range(0, len(amounts), 2):
        dim = labels.dim() - 1 - place // 2
        before, after = amounts[place], amounts[place + 1]
        if not before and not after:
            continue
        if not trace.labels.varies(labels, dim):
            shape = list(labels.shape)
            shape[dim] += before + after
            labels = labels.narrow(dim, 0, 1).expand(shape)
            continue
        ends = [labels.narrow(dim, 0, 1)] * 2
        parts = [
            torch.full_like(end, padding).expand(_resized(end, dim, count))
            for end, count in zip(ends, (before, after), strict=True)
        ]
        labels = torch.cat([parts[0], labels, parts[1]], dim)
    return compress(labels)


def _resized(labels: Tensor, dim: int, size: int) -> list[int]:
    shape = list(labels.shape)
    shape[dim] = size
    return shape


def shuffle(trace: Trace, node: Node, value: Any, groups: int) -> Any:
    """Shuffle channels: a view to rows, a transposition, and back."""
    labels = trace.activation(value)
    rows = rows_of(labels, 1, groups, labels.shape[1] // groups)
    _tie_rows(trace, rows, [dim for dim in (1, 2) if trace.labels.varies(rows, dim)], None)
    return compress(rows.transpose(1, 2).flatten(1, 2))


def glu(trace: Trace, node: Node, value: Any, dim: int = -1) -> Any:
    """Gate one half with the other: their units pair up."""
    left, right = value.chunk(2, dim)
    trace.labels.join(left, right)
    return compress(left)


def pixel_shuffle(trace: Trace, node: Node, value: Any, factor: int) -> Any:
    """Move blocks of factor^2 channels to space: a block goes as a whole."""
    blocks = rows_of(value, 1, value.shape[1] // factor**2, factor**2)
    trace.labels.join(blocks, blocks.narrow(2, 0, 1))
    return compress(blocks[:, :, 0]).narrow(2, 0, 1).narrow(3, 0, 1).expand(shape_of(node))


_PLAIN = (
    "permute transpose t numpy_T mT T movedim moveaxis swapaxes unsqueeze squeeze flip roll "
    "diagonal unfold pixel_unshuffle tile repeat repeat_interleave"
).split()

RULES = {
    **dict.fromkeys(_PLAIN, plain),
    **dict.fromkeys(("view", "reshape", "flatten", "_unsafe_view"), reshape),
    **dict.fromkeys(("reshape_as", "view_as"), reshape_as),
    **dict.fromkeys(("expand", "broadcast_to", "expand_as"), expand),
    "meshgrid": meshgrid,
    **dict.fromkeys(("cat", "concat", "concatenate"), cat),
    "unflatten": unflatten,
    **dict.fromkeys(("pad", "constant_pad_nd"), pad),
    "stack": stack,
    "channel_shuffle": shuffle,
    "glu": glu,
    "pixel_shuffle": pixel_shuffle,
}
