"""Exports of a real network and of what is left of it, run beside PyTorch."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnxruntime
import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.utils._pytree import tree_leaves

from autoprune.problem.prune import prune
from autoprune.structure.analyze import analyze
from autoprune.structure.graph import as_call, call, quiet
from autoprune.structure.plan import Plan
from tests.real import ours
from tests.real.network import Network

TOLERANCE = 1e-3
"""Largest difference from PyTorch, relative to the largest output."""

Outputs = list[Tensor]


def worse(network: Network) -> dict[str, str]:
    """Return why each form fails for one half of a network, of the forms that fit all of it."""
    model, inputs = ours.dense(network)
    structure = analyze(model, inputs, outputs=network.outputs)
    compact = prune(model, structure, Plan.uniform(structure, 0.5)).eval()
    found = {}
    for form, run in FORMS.items():
        if not _fails(run, model, inputs):
            found[form] = _fails(run, compact, inputs)
    return found


@torch.no_grad()
def _fails(run: Callable[[ExportedProgram, Any], Outputs], model: nn.Module, inputs: Any) -> str:
    """Return why a network does not export, or does something else then; nothing if it does."""
    args, kwargs = as_call(inputs)
    try:
        with quiet():
            expected = _tensors(call(model, inputs))
            outputs = run(torch.export.export(model, args, kwargs, strict=False), inputs)
    except Exception as error:  # exporters raise many unrelated types
        return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0][:120]}"
    scale = max(float(one.abs().max()) for one in expected if one.numel()) or 1.0
    for one, other in zip(outputs, expected, strict=True):
        if one.shape != other.shape:
            return f"{tuple(one.shape)} instead of {tuple(other.shape)}"
        if other.numel() and not float((one - other).abs().max()) <= TOLERANCE * scale:
            return f"differs by {float((one - other).abs().max()) / scale:.1e}"
    return ""


def _tensors(outputs: Any) -> Outputs:
    return [one.double() for one in tree_leaves(outputs) if isinstance(one, Tensor)]


def _program(program: ExportedProgram, inputs: Any) -> Outputs:
    return _tensors(call(program.module(), inputs))


def _onnx(program: ExportedProgram, inputs: Any) -> Outputs:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        torch.onnx.export(program, f=path, dynamo=True, external_data=False, verbose=False)
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    given = [one.numpy() for one in tree_leaves(as_call(inputs)) if isinstance(one, Tensor)]
    names = [entry.name for entry in session.get_inputs()]
    found = session.run(None, dict(zip(names, given, strict=True)))
    return [torch.as_tensor(one).double() for one in found]


FORMS = {"torch.export": _program, "ONNX": _onnx}
