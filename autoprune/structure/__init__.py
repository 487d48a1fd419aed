"""Structure of a model: which tensors share units, found by labels in the exported graph."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from autoprune.foundation.user_code import blamed
from autoprune.structure.branches import find_cones
from autoprune.structure.copies import plain_copy, unwrapped
from autoprune.structure.graph import (
    ExampleInputs,
    ModelGraph,
    as_call,
    call,
    export_graph,
    slow_attention,
)
from autoprune.structure.grouping import build
from autoprune.structure.outputs import Names
from autoprune.structure.passes import other_passes, settle_unused, unused_parameters
from autoprune.structure.removal import templates
from autoprune.structure.statistics import settle
from autoprune.structure.table import (
    Branch,
    Extent,
    Group,
    Layer,
    Pinned,
    Product,
    Slice,
    Structure,
    Template,
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
        paths = {path for cone in find_cones(trace, self._graphs[0]) for path in cone.paths}
        self._templates = _templates(self._model, example_inputs, paths)
        for graph in other_passes(self._model, example_inputs, trace, outputs):
            self._graphs.append(graph)
            walk(trace, graph)

    @property
    def evaluation(self) -> ModelGraph:
        """Graph of a forward pass in evaluation."""
        return self._graphs[0]

    @torch.no_grad()
    def structure(self, linked: frozenset[str] = frozenset()) -> Structure:
        """Return the structure that the graphs show.

        Modules of the paths ``linked`` write the width of their input where it is another's too.
        The parameters that no graph used are named (``Structure.unused``), and what they may meet
        is pinned.
        """
        trace = Trace(linked=linked)
        walk(trace, self._graphs[0])
        layers, sums = len(trace.layers), dict(trace.sums)
        for graph in self._graphs[1:]:
            walk(trace, graph)
        del trace.layers[layers:]
        trace.sums = sums
        settle_unused(self._model, trace)
        settle(trace)
        cones = find_cones(trace, self._graphs[0])
        structure = build(trace, self._model, self._batch, cones, self._templates)
        unused = unused_parameters(self._model, trace)
        return replace(structure, unused=unused, outputs=self._outputs)


def trace_structure(model: nn.Module, example_inputs: ExampleInputs) -> Structure:
    """Return the structure that the exported graphs show; raises UsageError if there are none."""
    return Graphs(model, example_inputs).structure()


def _templates(
    model: nn.Module, example_inputs: ExampleInputs, paths: Collection[str]
) -> dict[str, Template]:
    """Return what modules give out, from one pass through a copy of the model."""
    if not paths:
        return {}
    with torch.no_grad(), slow_attention(), blamed("the model does not run on its inputs"):
        twin = plain_copy(model).eval()
        return templates(twin, paths, lambda network: call(network, example_inputs))


def _batch(example_inputs: ExampleInputs) -> int:
    tensors = [leaf for leaf in tree_leaves(as_call(example_inputs)) if isinstance(leaf, Tensor)]
    return next((tensor.shape[0] for tensor in tensors if tensor.dim() > 1), 1)


__all__ = [
    "Branch",
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
