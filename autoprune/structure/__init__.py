"""Structure of a model: which tensors share units, found by labels in the exported graph."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from autoprune.structure.copies import unwrapped
from autoprune.structure.graph import ExampleInputs, as_call, export_graph
from autoprune.structure.grouping import build
from autoprune.structure.passes import other_passes, pin_near_unused, unused_parameters
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
    """Return the structure that the exported graphs show; the model is not changed.

    Evaluation is traced first, then what runs only in training or on images of other sizes. The
    parameters that none of this used are named (``Structure.unused``), and what they may meet is
    pinned. Raises UsageError if the model cannot be exported.
    """
    model = unwrapped(model)
    trace = Trace()
    walk(trace, export_graph(model, example_inputs, training=False))
    layers = len(trace.layers)
    for graph in other_passes(model, example_inputs, trace):
        walk(trace, graph)
    del trace.layers[layers:]
    pin_near_unused(model, trace)
    settle(trace)
    structure = build(trace, model, _batch(example_inputs))
    return replace(structure, unused=unused_parameters(model, trace))


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
