"""Proof of branches: the network without them against its graph with constants in their place.

The graph is run operator by operator, and the value of each branch is replaced in it. That shares
nothing with how branches are taken out of the network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_leaves

from autoprune.structure.copies import disturb, plain_copy, set_mode
from autoprune.structure.graph import ExampleInputs, ModelGraph, as_call, call, slow_attention
from autoprune.structure.outputs import places
from autoprune.structure.slicing import Slicer
from autoprune.structure.table import Branch, Structure

TOLERANCE = 1e-3
"""Largest error relative to the largest output that still counts as equal, in float32."""


class BranchBench:
    """A disturbed copy of a model, its graph, and a constant for each branch."""

    def __init__(
        self, model: nn.Module, structure: Structure, inputs: ExampleInputs, graph: ModelGraph
    ) -> None:
        self._model = disturb(plain_copy(model).eval())
        self._slicer = Slicer(self._model, structure)
        self._structure, self._inputs, self._graph = structure, inputs, graph
        generator = torch.Generator().manual_seed(0)
        self._constants = {
            branch.removal.constant: torch.randn(branch.size, generator=generator)
            for branch in structure.branches
        }
        with torch.no_grad(), slow_attention():
            self._counted = places(call(plain_copy(self._model), inputs), structure.outputs)
        self._trains = self._runs(plain_copy(self._model))

    def error(self, branches: Sequence[Branch]) -> str | None:
        """Return what fails when branches go and half of every group, if anything."""
        half = {
            group.name: torch.arange(0, group.size, 2)
            for group in self._structure.groups
            if group.name not in self._structure.renormalized
        }
        kept = half | {branch.name: torch.arange(0) for branch in branches}
        try:
            network = self._slicer.build(kept, self._constants)
            outputs = self._run(network)
            if self._trains:
                trained = self._run(set_mode(network, training=True))
        except Exception as error:  # whatever the user's forward raises is the reason
            return f"fails without it: {(str(error).splitlines() or [type(error).__name__])[0]}"
        expected = self._replaced(half, branches)
        worst = _difference(outputs, expected)
        if self._trains and [one.shape for one in trained] != [one.shape for one in expected]:
            return "fails without it, in training"
        return None if worst <= TOLERANCE else f"outputs without it differ by {worst:.1e}"

    def _replaced(self, kept: Mapping[str, Tensor], branches: Sequence[Branch]) -> list[Tensor]:
        """Run the graph of the masked network with constants for branches."""
        masked = self._slicer.masked(kept)
        masks = {
            branch.value: _laid_out(branch, self._constants[branch.removal.constant], kept)
            for branch in branches
        }
        own = {**dict(masked.named_parameters()), **dict(masked.named_buffers())}
        given = iter(tree_leaves(as_call(self._inputs)))
        values = [
            self._graph.constants[node.name]
            if node.name in self._graph.constants
            else own[self._graph.names[node.name]]
            if node.name in self._graph.names
            else next(given)
            for node in self._graph.nodes
            if node.op == "placeholder"
        ]
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(0)
            return self._tensors(_Replacing(self._graph.nodes[0].graph, masks).run(*values))

    def _run(self, model: nn.Module) -> list[Tensor]:
        with torch.random.fork_rng(devices=[]), slow_attention(), torch.no_grad():
            torch.manual_seed(0)
            return self._tensors(call(model, self._inputs))

    def _tensors(self, outputs: Any) -> list[Tensor]:
        """Return the floating-point outputs that count."""
        leaves = tree_leaves(outputs)
        return [
            leaf
            for leaf in (leaves[place] for place in self._counted)
            if isinstance(leaf, Tensor) and leaf.is_floating_point()
        ]

    def _runs(self, twin: nn.Module) -> bool:
        try:
            self._run(set_mode(twin, training=True))
        except Exception:  # it wants targets, or other inputs
            return False
        return True


class _Replacing(fx.Interpreter):
    """Interpreter of a graph in which some values are replaced."""

    def __init__(self, graph: fx.Graph, constants: Mapping[str, Tensor]) -> None:
        owner = graph.owning_module
        assert owner is not None  # noqa: S101 (what an export returns has one)
        super().__init__(owner)
        self._constants = constants

    def run_node(self, n: fx.Node) -> Any:
        """Run an operator, and replace its value."""
        value = super().run_node(n)
        if n.name not in self._constants:
            return value
        return self._constants[n.name].to(value).expand(value.shape).clone()


def _laid_out(branch: Branch, constant: Tensor, kept: Mapping[str, Tensor]) -> Tensor:
    """Return the constant of a branch over its units' dimension, those that are gone zero."""
    stays = torch.ones_like(constant)
    for name, index in branch.units:
        if name in kept:
            stays[index.flatten()] = 0
            stays[index[kept[name]].flatten()] = 1
    return (constant * stays).view(-1, *(1,) * (branch.removal.rank - 1 - branch.removal.dim))


def _difference(outputs: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """Return the largest difference relative to the largest output; infinite for other shapes."""
    scale = max((float(one.abs().max()) for one in expected if one.numel()), default=1.0) or 1.0
    if [one.shape for one in outputs] != [one.shape for one in expected]:
        return float("inf")
    pairs = zip(outputs, expected, strict=True)
    worst = [float((one - other).abs().max()) for one, other in pairs if other.numel()]
    return max(worst, default=0.0) / scale
