"""Structure of a model: which tensors share units, found by labels in the exported graph."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from autoprune.structure.graph import ExampleInputs, as_call, export_graph
from autoprune.structure.grouping import build
from autoprune.structure.statistics import settle
from autoprune.structure.table import (
    Extent,
    Group,
    Layer,
    Pinned,
    Product,
    Slice,
    Structure,
    TensorInfo,
)
from autoprune.structure.trace import Trace
from autoprune.structure.walk import walk


@torch.no_grad()
def trace_structure(model: nn.Module, example_inputs: ExampleInputs) -> Structure:
    """Return the structure that the exported graph shows; the model is not changed.

    Parameters that evaluation never touches (auxiliary heads) are found by a second pass in
    training mode. Raises UsageError if the model cannot be exported.
    """
    trace = Trace()
    walk(trace, export_graph(model, example_inputs, training=False))
    missing = {name for name, _ in model.named_parameters()} - trace.seen
    if missing:
        layers = len(trace.layers)
        walk(trace, export_graph(model, example_inputs, training=True))
        del trace.layers[layers:]
    settle(trace)
    return build(trace, model, _batch(example_inputs))


def _batch(example_inputs: ExampleInputs) -> int:
    tensors = [leaf for leaf in tree_leaves(as_call(example_inputs)) if isinstance(leaf, Tensor)]
    return next((tensor.shape[0] for tensor in tensors if tensor.dim() > 1), 1)


__all__ = [
    "Extent",
    "Group",
    "Layer",
    "Pinned",
    "Product",
    "Slice",
    "Structure",
    "TensorInfo",
    "trace_structure",
]
