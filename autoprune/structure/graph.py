"""Graph of the operators that a model runs, exported without decomposition."""

from __future__ import annotations

import gc
import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.fx import Node
from torch.utils._pytree import tree_leaves

from autoprune.errors import UsageError
from autoprune.foundation.user_code import blamed
from autoprune.structure.copies import COPIED, plain_copy, set_mode
from autoprune.structure.outputs import Names, places
from autoprune.structure.packing import padded_sequences

_OURS = str(Path(__file__).parent)

ExampleInputs = Tensor | tuple[Any, ...] | list[Any] | dict[str, Any]


@dataclass(frozen=True)
class ModelGraph:
    """The operators of one forward pass.

    ``names`` maps placeholder nodes to the canonical name of their parameter or buffer;
    placeholders it does not list are inputs of the user or constants of the code, whose values
    ``constants`` holds. ``unread`` are the places of the results that nobody reads.
    """

    nodes: tuple[Node, ...]
    names: dict[str, str]
    constants: dict[str, Tensor]
    unread: frozenset[int] = frozenset()


def as_call(example_inputs: ExampleInputs) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Split example inputs into positional and keyword arguments."""
    if isinstance(example_inputs, dict):
        return (), dict(example_inputs)
    if isinstance(example_inputs, (tuple, list)):
        return tuple(example_inputs), {}
    return (example_inputs,), {}


def call(model: nn.Module, example_inputs: ExampleInputs) -> Any:
    """Run the model on example inputs."""
    args, kwargs = as_call(example_inputs)
    return model(*args, **kwargs)


@torch.no_grad()
def trial(model: nn.Module, example_inputs: ExampleInputs) -> Any:
    """Return what a copy of the model puts out in evaluation mode."""
    with blamed("the model does not run on its inputs", "look at the shapes of the inputs"):
        return call(plain_copy(model).eval(), example_inputs)


def aliases(model: nn.Module) -> dict[str, str]:
    """Map every name of a parameter or buffer to the first name of the same tensor."""
    first: dict[int, str] = {}
    result = {}
    named = [
        *model.named_parameters(remove_duplicate=False),
        *model.named_buffers(remove_duplicate=False),
    ]
    for name, tensor in named:
        result[name] = first.setdefault(id(tensor), name)
    return result


@contextmanager
def slow_attention() -> Iterator[None]:
    """Keep transformer layers from their fused inference kernel, which hides the operators."""
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)


_CONTROL_FLOW: Final = (
    "autoprune needs a forward pass without data-dependent Python control flow; try"
    " torch.export.export(model, inputs, strict=False) on its own"
)
_DETECTOR: Final = (
    "what depends on values, as a detector's suppression of overlapping boxes does, has no fixed"
    " shape: pass the network without it, backbone and heads only"
)
_BY_VALUES: Final = ("Could not guard", "Could not extract", "torchvision::nms", "nonzero")


def export_graph(
    model: nn.Module, example_inputs: ExampleInputs, training: bool, outputs: Names = ()
) -> ModelGraph:
    """Export a copy of the model in evaluation (or training) mode.

    ``outputs`` names the results that are read, all without names.

    Raises UsageError, saying where, if the forward pass cannot be exported.
    """
    args, kwargs = as_call(example_inputs)
    with blamed("the model cannot be copied", COPIED):
        twin = set_mode(plain_copy(model), training)
    try:
        with slow_attention(), padded_sequences(), quiet(), uncollected():
            program = torch.export.export(twin, args, kwargs, strict=False)
    except Exception as error:  # torch.export raises many unrelated types
        with blamed("the model does not run on its inputs", "look at the shapes of the inputs"):
            call(twin, example_inputs)
        raise UsageError(
            f"the model cannot be exported: {_where(error)}",
            _DETECTOR if any(word in str(error) for word in _BY_VALUES) else _CONTROL_FLOW,
        ) from error
    signature = program.graph_signature
    known = aliases(twin)
    owned = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    return ModelGraph(
        nodes=tuple(program.graph.nodes),
        names={node: known.get(name, name) for node, name in owned.items()},
        constants={
            node: value
            for node, name in signature.inputs_to_lifted_tensor_constants.items()
            if isinstance(value := program.constants[name], Tensor)
        },
        unread=_unread(program, twin, example_inputs, outputs) if outputs else frozenset(),
    )


@torch.no_grad()
def _unread(
    program: ExportedProgram, model: nn.Module, example_inputs: ExampleInputs, names: Names
) -> frozenset[int]:
    """Return the places of the results of a graph, buffers that changed first, not in ``names``."""
    with slow_attention():
        outputs = call(model, example_inputs)
    size = len(tree_leaves(outputs))
    results = program.graph_signature.user_outputs
    if len(results) != size:
        return frozenset()
    first = len(program.graph_signature.output_specs) - size
    return frozenset(range(first, first + size)) - {first + at for at in places(outputs, names)}


@contextmanager
def quiet() -> Iterator[None]:
    """Keep torch from printing graphs and warnings: what matters of them is in the exception."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


@contextmanager
def uncollected() -> Iterator[None]:
    """Put garbage collection off: an export makes many objects that stay, its imports more."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def user_line(error: BaseException) -> str:
    """File, line and function of the user's code, or of a library's, that an error came out of."""
    place = ""
    trace = error.__traceback__
    while trace is not None:
        file, name = trace.tb_frame.f_code.co_filename, trace.tb_frame.f_code.co_name
        if "/torch/" not in file and not file.startswith(("<", _OURS)):
            place = f"{Path(file).name}:{trace.tb_lineno} in {name}"
        trace = trace.tb_next
    return place


def _where(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    message = lines[0] if lines else type(error).__name__
    trace = error.__traceback__
    place = ""
    while trace is not None:
        code = trace.tb_frame.f_code
        if "/torch/" not in code.co_filename and not code.co_filename.startswith("<"):
            place = f"{code.co_filename}:{trace.tb_lineno} in {code.co_name}"
        trace = trace.tb_next
    return f"{message} (at {place})" if place and "autoprune/structure" not in place else message
