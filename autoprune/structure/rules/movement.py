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
from autoprune.structure.trace import MIXED, Param, Trace, move, shape_of


def plain(trace: Trace, node: Node, value: Any, *args: Any, **kwargs: Any) -> Any:
    """Run the operator itself on the labels (or on the coordinates of a parameter)."""
    if isinstance(value, Param):
        return move(value, lambda tensor: node.target(tensor, *args, **kwargs))  # type: ignore[operator]
    return compress(node.target(trace.activation(value), *args, **kwargs))  # type: ignore[operator]


def reshape(trace: Trace, node: Node, value: Any, *args: Any, **kwargs: Any) -> Any:
    """View and flatten: tie rows where a dimension is split."""
    shape = shape_of(node)
    wanted = args[0] if args and isinstance(args[0], (list, tuple)) else shape
    return _reshape(trace, value, shape, wanted)


def unflatten(trace: Trace, node: Node, value: Any, dim: int, sizes: list[int]) -> Any:
    """Split one dimension into several."""
    dim %= len(value.shape)
    wanted = [*value.shape[:dim], *sizes, *value.shape[dim + 1 :]]
    return _reshape(trace, value, shape_of(node), wanted)


def _reshape(trace: Trace, value: Any, shape: torch.Size, wanted: Any) -> Any:
    if isinstance(value, Param):
        return move(value, lambda tensor: tensor.reshape(shape))
    result = compress(trace.activation(value).reshape(shape))
    open_dim = next((dim for dim, size in enumerate(wanted) if size == -1), None)
    for block in _blocks(tuple(value.shape), tuple(shape)):
        _tie_rows(trace, result, block, open_dim)
    return result


def _tie_rows(trace: Trace, labels: Tensor, block: list[int], open_dim: int | None) -> None:
    varying = [dim for dim in block if trace.labels.varies(labels, dim)]
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


def split(trace: Trace, node: Node, value: Any, *args: Any, **kwargs: Any) -> Any:
    """Chunk and split: equal parts lose the same places, unequal ones are constants of the code."""
    if isinstance(value, Param):
        count = len(node.meta["val"])
        return tuple(
            move(value, lambda tensor, i=i: node.target(tensor, *args, **kwargs)[i])  # type: ignore[operator]
            for i in range(count)
        )
    parts = node.target(value, *args, **kwargs)  # type: ignore[operator]
    dim = _split_dim(parts[0], value)
    if dim is not None and trace.labels.varies(value, dim):
        if len({part.shape for part in parts}) == 1:
            for part in parts[1:]:
                trace.labels.join(parts[0], part)
        else:
            trace.labels.pin(value, "split at constant sizes")
    return tuple(compress(part) for part in parts)


def _split_dim(part: Tensor, whole: Tensor) -> int | None:
    for dim in range(whole.dim()):
        if part.shape[dim] != whole.shape[dim]:
            return dim
    return None


def slice_(
    trace: Trace,
    node: Node,
    value: Any,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
) -> Any:
    """Slice; across units only equal parts and regular strides can follow a smaller size."""
    if isinstance(value, Param):
        return plain(trace, node, value, dim, start, end, step)
    size = value.shape[dim]
    first, last, step = slice(start, end, step).indices(size)
    if trace.labels.varies(value, dim) and (first, last, step) != (0, size, 1):
        length = last - first
        if step == 1 and length and size % length == 0 and first % length == 0:
            rows = _rows(value, dim, size // length, length)
            trace.labels.join(rows, rows.narrow(dim % value.dim(), 0, 1))
        elif step > 1 and size % step == 0 and length > size - step:
            rows = _rows(value, dim, size // step, step)
            trace.labels.join(rows, rows.narrow(dim % value.dim() + 1, 0, 1))
        else:
            trace.labels.pin(value, f"sliced [{first}:{last}] of {size}, constants of the code")
    return compress(value.narrow(dim, first, max(0, last - first))[_every(value, dim, step)])


def _rows(labels: Tensor, dim: int, *sizes: int) -> Tensor:
    """Split a dimension into rows, without a rule of its own."""
    dim %= labels.dim()
    return compress(labels).reshape(*labels.shape[:dim], *sizes, *labels.shape[dim + 1 :])


def _every(value: Tensor, dim: int, step: int) -> tuple[slice, ...]:
    whole = [slice(None)] * value.dim()
    whole[dim] = slice(None, None, step)
    return tuple(whole)


def select(trace: Trace, node: Node, value: Any, dim: int, place: int) -> Any:
    """Take one index; across units that is a constant of the code."""
    if isinstance(value, Tensor) and trace.labels.varies(value, dim):
        trace.labels.pin(value, "indexed at a constant place")
    return plain(trace, node, value, dim, place)


def unbind(trace: Trace, node: Node, value: Any, dim: int = 0) -> Any:
    """Take every index of a dimension."""
    places = range(len(node.meta["val"]))
    if isinstance(value, Param):
        return tuple(move(value, lambda t, i=i: t.select(dim, i)) for i in places)
    if trace.labels.varies(value, dim):
        trace.labels.pin(value, "indexed at a constant place")
    return tuple(compress(value.select(dim, place)) for place in places)


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
    rows = _rows(labels, 1, groups, labels.shape[1] // groups)
    _tie_rows(trace, rows, [1, 2], None)
    return compress(rows.transpose(1, 2).flatten(1, 2))


def glu(trace: Trace, node: Node, value: Any, dim: int = -1) -> Any:
    """Gate one half with the other: their units pair up."""
    left, right = value.chunk(2, dim)
    trace.labels.join(left, right)
    return compress(left)


def pixel_shuffle(trace: Trace, node: Node, value: Any, factor: int) -> Any:
    """Move blocks of factor^2 channels to space: a block goes as a whole."""
    blocks = _rows(value, 1, value.shape[1] // factor**2, factor**2)
    trace.labels.join(blocks, blocks.narrow(2, 0, 1))
    return compress(blocks[:, :, 0]).narrow(2, 0, 1).narrow(3, 0, 1).expand(shape_of(node))


def index(trace: Trace, node: Node, value: Any, indices: Any, *args: Any) -> Any:
    """Advanced indexing: allowed where it does not touch units."""
    shape = shape_of(node)
    if isinstance(value, Param):
        return Param(
            tuple((name, (MIXED,) * len(shape)) for name, _ in value.sources), torch.Size(shape)
        )
    picks = indices if isinstance(indices, (list, tuple)) else [indices]
    touched = [dim for dim, pick_ in enumerate(picks) if pick_ is not None]
    if any(trace.labels.varies(value, dim) for dim in touched) or len(touched) != 1:
        trace.labels.pin(value, "indexed with constants of the code")
        return trace.constant(shape, "indexed with constants of the code")
    thin = value.narrow(touched[0], 0, 1)
    extra = len(shape) - value.dim()
    for _ in range(extra):
        thin = thin.unsqueeze(touched[0])
    return thin.squeeze(touched[0]).expand(shape) if extra < 0 else thin.expand(shape)


_PLAIN = (
    "permute transpose t numpy_T mT T movedim moveaxis swapaxes unsqueeze squeeze flip roll "
    "diagonal unfold tile repeat repeat_interleave"
).split()

RULES = {
    **dict.fromkeys(_PLAIN, plain),
    **dict.fromkeys(("view", "reshape", "flatten", "_unsafe_view"), reshape),
    **dict.fromkeys(("expand", "broadcast_to"), expand),
    **dict.fromkeys(("cat", "concat", "concatenate"), cat),
    **dict.fromkeys(("chunk", "split", "split_with_sizes", "tensor_split"), split),
    "select": select,
    "unbind": unbind,
    "unflatten": unflatten,
    **dict.fromkeys(("pad", "constant_pad_nd"), pad),
    "stack": stack,
    "slice": slice_,
    "channel_shuffle": shuffle,
    "glu": glu,
    "pixel_shuffle": pixel_shuffle,
    "index": index,
}
