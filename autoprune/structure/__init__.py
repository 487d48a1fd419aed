"""Structure of a model: which tensors share units, found by labels in the exported graph."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from autoprune.structure.copies import unwrapped
from autoprune.structure.graph import ExampleInputs, as_call, export_graph
from autoprune.structure.grouping import build
from autoprune.structure.outputs import Names
from autoprune.structure.passes import other_passes, settle_unused, unused_parameters
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


class Graphs:
    """The exported graphs of a model, walked anew for every set of links.

    Evaluation is exported first, then what runs only in training or on images of other sizes. The
    model is not changed. ``outputs`` names those that count, all without names.

    Raises UsageError if the model cannot be exported.
    """

    def __init__(
        self, model: nn.Module, example_inputs: ExampleInputs, outputs: Names = ()
    ) -> None:
        self._model, self._batch = unwrapped(model), _batch(example_inputs)
        self._outputs, trace = outputs, Trace()
        self._graphs = [export_graph(self._model, example_inputs, False, outputs)]
        walk(trace, self._graphs[0])
        for graph in other_passes(self._model, example_inputs, trace, outputs):
            self._graphs.append(graph)
            walk(trace, graph)

    @torch.no_grad()
    def structure(self, linked: frozenset[str] = frozenset()) -> Structure:
        """Return the structure that the graphs show.

        Modules of the paths ``linked`` write the width of their input where it is another's too.
        The parameters that no graph used are named (``Structure.unused``), and what they may meet
        is pinned.
        """
        trace = Trace(linked=linked)
        walk(trace, self._graphs[0])
        layers = len(trace.layers)
        for graph in self._graphs[1:]:
            walk(trace, graph)
        del trace.layers[layers:]
        settle_unused(self._model, trace)
        settle(trace)
        structure = build(trace, self._model, self._batch)
        unused = unused_parameters(self._model, trace)
        return replace(structure, unused=unused, outputs=self._outputs)


def trace_structure(model: nn.Module, example_inputs: ExampleInputs) -> Structure:
    """Return the structure that the exported graphs show; raises UsageError if there are none."""
    return Graphs(model, example_inputs).structure()


def _batch(example_inputs: ExampleInputs) -> int:
    tensors = [leaf for leaf in tree_leaves(as_call(example_inputs)) if isinstance(leaf, Tensor)]
    return next((tensor.shape[0] for tensor in tensors if tensor.dim() > 1), 1)


__all__ = [
    "Extent",
    "Graphs",
    "Group",
    "Layer",
    "Pinned",
    "Product",
    "Slice",
    "Structure",
    "TensorInfo",
    "trace_structure",
]
