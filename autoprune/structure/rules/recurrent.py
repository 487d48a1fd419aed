"""LSTM, GRU, plain recurrent layers: one unit is a hidden unit over gates, layers, directions."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from autoprune.structure.labels import spread
from autoprune.structure.trace import Param, Trace

_GATES = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}


def recurrent(
    trace: Trace,
    node: Node,
    value: Tensor,
    state: Any,
    params: list[Param],
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool = False,
) -> Any:
    """Tie the hidden units; ``params`` lists w_ih, w_hh(, b_ih, b_hh) per layer and direction."""
    kind = str(node.target._schema.name).split("::")[-1]  # type: ignore[union-attr]
    gates, directions = _GATES[kind], 2 if bidirectional else 1
    hidden = params[1].shape[1]
    per_layer = 4 if has_biases else 2
    if len(params) != num_layers * directions * per_layer or params[1].shape[0] != gates * hidden:
        for item in (value, params):
            trace.freeze(item, "recurrent layer with projections")
        return tuple(trace.constant(item.shape, "recurrent") for item in node.meta["val"])
    units = trace.labels.fresh(hidden)
    for item in _states(node, state):
        _hand_over(trace, item, units)
    source = trace.labels.column(value, value.dim() - 1)
    rows = value.numel() // value.shape[-1]
    for layer in range(num_layers):
        for direction in range(directions):
            start = (layer * directions + direction) * per_layer
            _cell(trace, node, params[start : start + per_layer], source, units, gates, rows)
        source = units.repeat(directions)
    shapes = [item.shape for item in node.meta["val"]]
    states = [spread(units, len(shape) - 1, shape) for shape in shapes[1:]]
    return (spread(source, len(shapes[0]) - 1, shapes[0]), *states)


def _cell(
    trace: Trace,
    node: Node,
    params: list[Param],
    source: Tensor,
    units: Tensor,
    gates: int,
    rows: int,
) -> None:
    stacked = units.repeat(gates)
    input_weight, hidden_weight, *biases = params
    for name, dims in input_weight.sources:
        trace.kinds.setdefault((name, dims[0] or 0), "recurrent")
    trace.tie(input_weight, 0, stacked, "out")
    trace.tie(input_weight, 1, source, "in")
    trace.tie(hidden_weight, 0, stacked, "out")
    trace.tie(hidden_weight, 1, units, "in")
    for bias in biases:
        trace.tie(bias, 0, stacked, "out")
    products = [(rows, (stacked, source)), (rows, (stacked, units))]
    trace.layer(node, "recurrent", input_weight, list(products))


def _states(node: Node, state: Any) -> list[Any]:
    """Return the initial states that are given: zeros of the hidden size come from the module."""
    sources = node.args[1] if isinstance(node.args[1], (list, tuple)) else [node.args[1]]
    values = state if isinstance(state, (list, tuple)) else [state]
    return [
        value
        for source, value in zip(sources, values, strict=True)
        if not (isinstance(source, Node) and "zeros" in str(source.target))
    ]


def _hand_over(trace: Trace, state: Any, units: Tensor) -> None:
    """Join an initial state, [..., hidden], with the units: those of an encoder, of a parameter."""
    last = len(state.shape) - 1
    if isinstance(state, Param):
        trace.tie(state, last, units, "scale")
        for name, dims in state.sources:
            trace.kinds.setdefault((name, dims[last] or 0), "parameter")
    else:
        trace.labels.join(trace.labels.column(state, last), units)


def cell(
    trace: Trace,
    node: Node,
    value: Tensor,
    state: Any,
    input_weight: Param,
    hidden_weight: Param,
    *biases: Any,
) -> Any:
    """One step of a recurrent cell; its state joins with the units."""
    kind = str(node.target._schema.name).split("::")[-1].removesuffix("_cell")  # type: ignore[union-attr]
    units = trace.labels.fresh(hidden_weight.shape[1])
    source = trace.labels.column(value, value.dim() - 1)
    params = [input_weight, hidden_weight, *(bias for bias in biases if bias is not None)]
    rows = value.numel() // value.shape[-1]
    _cell(trace, node, params, source, units, _GATES[kind], rows)
    for item in state if isinstance(state, (list, tuple)) else [state]:
        _hand_over(trace, item, units)
    output = node.meta["val"]
    outputs = output if isinstance(output, (tuple, list)) else [output]
    results = tuple(spread(units, item.dim() - 1, torch.Size(item.shape)) for item in outputs)
    return results if isinstance(output, (tuple, list)) else results[0]


RULES = {
    **dict.fromkeys(_GATES, recurrent),
    **dict.fromkeys((f"{kind}_cell" for kind in _GATES), cell),
}
