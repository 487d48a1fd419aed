"""Operators that take parts of a dimension: chunk, split, slice, select, index.

A part of a dimension follows a smaller size only if the code computes it: equal parts and regular
strides can, and their units are tied place by place; anything else is a constant of the code.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from autoprune.structure.labels import compress
from autoprune.structure.rules.movement import plain, rows_of
from autoprune.structure.trace import MIXED, Param, Trace, move, shape_of


def split(trace: Trace, node: Node, value: Any, *args: Any, **kwargs: Any) -> Any:
    """Chunk and split: parts lose the same places, as far as all of them have these.

    A last part that is shorter keeps its distance from the others. Parts of other lengths are
    sizes of the code, which can follow only where modules keep them.
    """
    if isinstance(value, Param):
        count = len(node.meta["val"])
        return tuple(
            move(value, lambda tensor, i=i: node.target(tensor, *args, **kwargs)[i])  # type: ignore[operator]
            for i in range(count)
        )
    parts = node.target(value, *args, **kwargs)  # type: ignore[operator]
    dim = _split_dim(parts[0], value)
    if dim is not None and trace.labels.varies(value, dim):
        sizes = [part.shape[dim] for part in parts]
        if sizes == sizes[:1] * (len(sizes) - 1) + [min(sizes)]:
            for part in parts[1:]:
                trace.labels.join(parts[0].narrow(dim, 0, part.shape[dim]), part)
        for part in {part.shape[dim]: part for part in parts}.values():
            column = trace.labels.column(part, dim)
            trace.write(node, len(column), column)
        trace.write(node, value.shape[dim], trace.labels.column(value, dim))
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
            rows = rows_of(value, dim, size // length, length)
            trace.labels.join(rows, rows.narrow(dim % value.dim(), 0, 1))
        elif step > 1 and size % step == 0 and length > size - step:
            rows = rows_of(value, dim, size // step, step)
            trace.labels.join(rows, rows.narrow(dim % value.dim() + 1, 0, 1))
        else:
            trace.labels.pin(value, f"sliced [{first}:{last}] of {size}, constants of the code")
    return compress(value.narrow(dim, first, max(0, last - first))[_every(value, dim, step)])


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


def index(trace: Trace, node: Node, value: Any, indices: Any, *args: Any) -> Any:
    """Advanced indexing: allowed where it does not touch units."""
    shape = shape_of(node)
    if isinstance(value, Param):
        return _look_up(trace, value, indices, shape)
    picks = indices if isinstance(indices, (list, tuple)) else [indices]
    touched = [dim for dim, pick in enumerate(picks) if pick is not None]
    if any(trace.labels.varies(value, dim) for dim in touched):
        trace.labels.pin(value, "indexed with constants of the code")
        return trace.constant(shape, "indexed with constants of the code")
    rows, count = value, len(shape) - (value.dim() - len(touched))
    for dim in reversed(touched):
        rows = rows.select(dim, 0)
    together = touched[-1] - touched[0] == len(touched) - 1
    place = touched[0] if together else 0
    for _ in range(count):
        rows = rows.unsqueeze(place)
    return rows.expand(shape)


def index_select(trace: Trace, node: Node, value: Any, dim: int, index_: Any) -> Any:
    """Take entries along one dimension: indexing with nothing else."""
    return index(trace, node, value, [None] * (dim % len(value.shape)) + [index_])


def _look_up(trace: Trace, weight: Param, indices: Any, shape: torch.Size) -> Param:
    """Index a weight along one dimension: a table, whose other dimensions remain its own."""
    picks = indices if isinstance(indices, (list, tuple)) else [indices]
    touched = [dim for dim, pick in enumerate(picks) if pick is not None]
    first, rest = touched[0], len(weight.shape) - touched[0] - 1
    if len(touched) != 1:
        return Param(tuple((name, (MIXED,) * len(shape)) for name, _ in weight.sources), shape)
    kept = [dim for dim in range(len(weight.shape)) if dim != first]
    trace.freeze_lost(weight, kept, "indexed with constants of the code")
    count = len(shape) - first - rest
    sources = [
        (
            name,
            (
                *dims[:first],
                *(None if size == 1 else MIXED for size in shape[first:][:count]),
                *dims[first + 1 :],
            ),
        )
        for name, dims in weight.sources
    ]
    return Param(tuple(sources), shape)


RULES = {
    **dict.fromkeys(("chunk", "split", "split_with_sizes", "tensor_split"), split),
    "select": select,
    "unbind": unbind,
    "slice": slice_,
    "index_select": index_select,
    "index": index,
}
