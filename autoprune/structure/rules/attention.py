"""Products of two values, by the letters of an einsum: matmul, attention, einsum itself."""

from __future__ import annotations

import string
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from autoprune.structure.rules.elementwise import add_bias
from autoprune.structure.rules.queries import rows_of
from autoprune.structure.trace import MIXED, Param, Trace, shape_of

Value = Tensor | Param


def contract(
    trace: Trace, node: Node, equation: str, left: Value, right: Value, shape: torch.Size
) -> Any:
    """Multiply and sum: ``equation`` such as ``bik,bkj->bij`` says which dimensions meet."""
    inputs, out = equation.split("->")
    names = inputs.split(",")
    if isinstance(left, Param) and isinstance(right, Param):
        sources = left.sources + right.sources
        return Param(tuple((name, (MIXED,) * len(shape)) for name, _ in sources), shape)
    columns: dict[str, Tensor | int] = {}
    rows = _rows(names, out, (left, right))
    for letter in sorted(set("".join(names))):
        if letter in rows:  # experts, each with its own weights for the same units
            columns[letter] = rows[letter]
        else:
            columns[letter] = _meet(trace, letter, names, (left, right), letter not in out)
    weight = next((value for value in (left, right) if isinstance(value, Param)), None)
    kind = "linear" if weight else "attention"
    trace.layer(node, kind, weight, [(1, tuple(columns.values()))])
    return _result(trace, names, out, columns, shape)


def _rows(names: list[str], out: str, values: tuple[Value, Value]) -> dict[str, int]:
    """Sizes of the letters along which a weight repeats the units it makes along the last one."""
    made = {}
    for name, other, value in ((names[0], names[1], values[0]), (names[1], names[0], values[1])):
        if isinstance(value, Param):
            sizes = dict(zip(name, value.shape, strict=True))
            own = [one for one in out if one in name and one not in other and sizes[one] > 1]
            made.update({one: sizes[one] for one in own[:-1]})
    return made


def _meet(
    trace: Trace, letter: str, names: list[str], values: tuple[Value, Value], summed: bool
) -> Tensor | int:
    """Tie what two operands have along a letter; return its labels, or its size if it has none."""
    places = [
        (value, name.index(letter))
        for value, name in zip(values, names, strict=True)
        if letter in name and value.shape[name.index(letter)] > 1
    ]
    if not places:
        return 1
    size = places[0][0].shape[places[0][1]]
    params = [(value, dim) for value, dim in places if isinstance(value, Param)]
    tensors = [(value, dim) for value, dim in places if isinstance(value, Tensor)]
    columns = [
        trace.labels.column(value, dim) for value, dim in tensors if trace.labels.varies(value, dim)
    ]
    if len(columns) == 2:
        trace.labels.join(columns[0], columns[1])
    elif len(columns) == 1 and len(tensors) == 2:
        trace.labels.pin(columns[0], "multiplied with positions of another activation")
    for param, dim in params:
        if columns:
            trace.tie(param, dim, columns[0], "in" if summed else "scale")
        elif not tensors:
            columns.append(trace.produce(param, dim, "linear"))
    return columns[0] if columns else size


def _result(
    trace: Trace, names: list[str], out: str, columns: dict[str, Tensor | int], shape: torch.Size
) -> Tensor:
    varying = [letter for letter in out if isinstance(columns[letter], Tensor)]
    owners = {tuple(letter in name for name in names) for letter in varying}
    if len(varying) > 1 and len(owners) > 1:
        varying.sort(key=lambda letter: -len(torch.as_tensor(columns[letter])))
        for letter in varying[1:]:  # an element has one unit: that of the larger group
            trace.freeze(columns[letter], "outer product of two activations")
        varying = varying[:1]
    if len(varying) != 1:
        return trace.constant(shape, "a product of activations")
    column = columns[varying[0]]
    view = [-1 if letter == varying[0] else 1 for letter in out]
    return torch.as_tensor(column).view(view).expand(shape)


def matmul(trace: Trace, node: Node, left: Value, right: Value) -> Any:
    """Matrix product with broadcast batch dimensions."""
    shape = shape_of(node)
    batch = string.ascii_lowercase[: max(len(left.shape), len(right.shape)) - 2]
    rows, inner, cols = "X", "Y", "Z"
    one = rows + inner if len(left.shape) > 1 else inner
    other = inner + cols if len(right.shape) > 1 else inner
    first = batch[len(batch) - max(len(left.shape) - 2, 0) :] + one
    second = batch[len(batch) - max(len(right.shape) - 2, 0) :] + other
    out = batch + (rows if rows in one else "") + (cols if cols in other else "")
    return contract(trace, node, f"{first},{second}->{out}", left, right, shape)


def addmm(trace: Trace, node: Node, bias: Any, left: Value, right: Value, **kwargs: Any) -> Any:
    """Matrix product plus a bias along the last dimension."""
    result = matmul(trace, node, left, right)
    if isinstance(bias, Param) and isinstance(result, Tensor):
        if trace.labels.varies(result, result.dim() - 1):
            column = trace.labels.column(result, result.dim() - 1)
            trace.tie(bias, len(bias.shape) - 1, column, "out")
    else:
        trace.freeze(bias, "added to a product")
        trace.freeze(result, "added to a product")
    return result


def baddbmm(trace: Trace, node: Node, bias: Any, left: Value, right: Value, **kwargs: Any) -> Any:
    """Matrix product of batches plus a bias, such as one for distances: it has rows for heads."""
    return add_bias(trace, matmul(trace, node, left, right), bias)


def einsum(trace: Trace, node: Node, equation: str, values: list[Value], **kwargs: Any) -> Any:
    """Two operands with plain letters; anything else is pinned."""
    equation = equation.replace(" ", "")
    names = equation.split("->")[0].split(",")
    plain = "->" in equation and "." not in equation
    if len(values) != 2 or not plain or any(len(set(name)) < len(name) for name in names):
        for value in values:
            trace.freeze(value, f"einsum {equation}")
        return trace.constant(shape_of(node), f"einsum {equation}")
    return contract(trace, node, equation, values[0], values[1], shape_of(node))


def scaled_dot_product_attention(
    trace: Trace,
    node: Node,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Any = None,
    *args: Any,
    enable_gqa: bool = False,
    scale: float | None = None,
) -> Any:
    """Attend: queries and keys share their units, the output has those of the values."""
    places = query.dim() - 1
    if scale is None and any(trace.labels.varies(item, places) for item in (query, key)):
        _divided_by_places(trace, node, query, key)
    if enable_gqa:
        for item in (query, key, value, mask):
            trace.freeze(item, "grouped-query attention")
        return trace.constant(shape_of(node), "grouped-query attention")
    batch = string.ascii_lowercase[: query.dim() - 2]
    scores = torch.Size((*query.shape[:-1], key.shape[-2]))
    weights = contract(trace, node, f"{batch}XY,{batch}ZY->{batch}XZ", query, key, scores)
    weights = add_bias(trace, weights, mask)
    return contract(trace, node, f"{batch}XZ,{batch}ZY->{batch}XY", weights, value, shape_of(node))


def _divided_by_places(trace: Trace, node: Node, query: Tensor, key: Tensor) -> None:
    """Scale the rows of a layer that makes the queries; without one, the places of a head stay."""
    modules = list((node.meta.get("nn_module_stack") or {}).values())
    if modules and "MultiheadAttention" in str(modules[-1][1]):
        trace.freeze([query, key], _ONE_INT)
        return
    first = node.args[0] if node.args else None
    makers = {one: dim for one, (dim, _) in trace.makers.items()}
    made = rows_of(first, makers) if isinstance(first, Node) else None
    if made is None:
        trace.freeze([query, key], "attention scales by this size; pass scale= to prune it")
        return
    maker, rows = made
    _, names = trace.makers[maker]
    trace.rescaled.append((names, rows, trace.labels.column(query, query.dim() - 1)))


_ONE_INT = "nn.MultiheadAttention has one int, embed_dim, for its width and all its heads"


RULES = {
    **dict.fromkeys(("matmul", "mm", "bmm", "mv", "dot"), matmul),
    "addmm": addmm,
    "baddbmm": baddbmm,
    "einsum": einsum,
    "scaled_dot_product_attention": scaled_dot_product_attention,
}
