"""Forward passes of a network beside evaluation: in training, and on inputs of other sizes.

A head that runs only in training, or a branch for large images, shares units with what evaluation
runs. It is traced too, so that it is cut along.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

from autoprune.errors import UsageError
from autoprune.structure.copies import plain_copy, set_mode
from autoprune.structure.graph import ExampleInputs, ModelGraph, call, export_graph, slow_attention
from autoprune.structure.outputs import Names
from autoprune.structure.trace import Trace

ZOOMS: tuple[Callable[[int], int], ...] = (lambda size: 2 * size, lambda size: size // 2)
"""Sizes of images that are tried where a parameter was not used."""


def other_passes(
    model: nn.Module, example_inputs: ExampleInputs, trace: Trace, outputs: Names = ()
) -> Iterator[ModelGraph]:
    """Yield the graphs of other passes, while parameters are left that no pass has used.

    Training is exported only where it runs other operators than evaluation, as an export takes as
    long as everything else. What cannot be exported is left out.
    """
    if not trains_alike(model, example_inputs):
        yield from _exported(model, example_inputs, True, outputs)
    for zoom in ZOOMS:
        zoomed = tree_map(lambda leaf, zoom=zoom: _zoom(leaf, zoom), example_inputs)
        if _images(example_inputs) and unused_parameters(model, trace):
            yield from _exported(model, zoomed, False, outputs)


def unused_parameters(model: nn.Module, trace: Trace) -> tuple[str, ...]:
    """Names of the parameters that no pass has used yet."""
    return tuple(name for name, _ in model.named_parameters() if name not in trace.seen)


def settle_unused(model: nn.Module, trace: Trace) -> None:
    """Pin units that a parameter no pass has used may meet: those of its size, near it.

    A token (one dimension with an extent) near which all of its size are the same units goes along
    with them: it stands in for one of the values around it, as a mask token does.
    """
    for name in unused_parameters(model, trace):
        near, shape = _surroundings(model, name, trace), model.get_parameter(name).shape
        wide = [dim for dim, size in enumerate(shape) if size > 1]
        met = [
            column
            for (tensor, _), column in trace.table.items()
            if tensor.startswith(near) and len(column) in {shape[dim] for dim in wide}
        ]
        if len(wide) == 1 < len(shape) and near and met and _same_units(trace, met):
            trace.shapes[name] = shape
            trace.register((name, wide[0]), met[0], "scale")
            trace.seen.add(name)
            continue
        for column in met:
            trace.labels.pin(column, f"may meet {name}, which no forward pass has used")


def _same_units(trace: Trace, columns: list[Tensor]) -> bool:
    first = trace.labels.roots(columns[0])
    return all(torch.equal(trace.labels.roots(column), first) for column in columns)


def _surroundings(model: nn.Module, name: str, trace: Trace) -> str:
    """Prefix of the names in the module that would run the layer of a parameter."""
    path = name.rpartition(".")[0]
    if path and not any(one.startswith(f"{path}.") for one in trace.seen):
        path = path.rpartition(".")[0]
    return f"{path}." if path else ""


def _exported(
    model: nn.Module, example_inputs: ExampleInputs, training: bool, outputs: Names
) -> Iterator[ModelGraph]:
    try:
        yield export_graph(model, example_inputs, training, outputs)
    except UsageError:  # it wants targets, or does not take the size
        return


@torch.no_grad()
def trains_alike(model: nn.Module, example_inputs: ExampleInputs) -> bool:
    """Whether training runs the operators of evaluation, or does not run on these inputs."""
    twin = plain_copy(model)
    try:
        return _operators(twin, example_inputs, False) == _operators(twin, example_inputs, True)
    except Exception:  # whatever the user's forward raises
        return True


def _operators(model: nn.Module, example_inputs: ExampleInputs, training: bool) -> list[Any]:
    record = _Record()
    with torch.random.fork_rng(devices=[]), slow_attention(), record:
        call(set_mode(model, training), example_inputs)
    return record.calls


class _Record(TorchFunctionMode):
    """Record of the functions that are called, and of the shapes that they return."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Any] = []

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call the function and note it."""
        result = func(*args, **(kwargs or {}))
        shapes = [leaf.shape for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        if shapes:
            self.calls.append((getattr(func, "__name__", str(func)), shapes))
        return result


def _is_image(leaf: Any) -> bool:
    return isinstance(leaf, Tensor) and leaf.dim() > 3 and leaf.is_floating_point()


def _images(example_inputs: ExampleInputs) -> bool:
    return any(_is_image(leaf) for leaf in tree_leaves(example_inputs))


def _zoom(leaf: Any, zoom: Callable[[int], int]) -> Any:
    if not _is_image(leaf):
        return leaf
    return leaf.new_zeros((*leaf.shape[:2], *(max(zoom(size), 1) for size in leaf.shape[2:])))
