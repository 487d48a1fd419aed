"""What runs a network: PyTorch as it is, or onnxruntime."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Final, Literal, Protocol

import torch
from torch import nn

from autoprune.cost.latency.calls import Call
from autoprune.cost.latency.clock import Work, race
from autoprune.cost.latency.deployed import deployed, deployed_form
from autoprune.cost.latency.onnx import network_in_onnx, operation_in_onnx, require_onnx, version
from autoprune.data.task import Batch, Task
from autoprune.errors import UsageError
from autoprune.networks.execution import Form, device_of, keep_memory

BackendName = Literal["torch", "onnxruntime"]


class Backend(Protocol):
    """Times single operations and whole networks."""

    name: str
    form: Form

    def operation(self, call: Call, sizes: Sequence[int]) -> Work | None:
        """Return an operation on random tensors, or None if it takes no time of its own."""

    def latencies(self, networks: Sequence[nn.Module]) -> list[float]:
        """Return the seconds that each network takes for the batch, taking turns."""


class TorchBackend:
    """Runs networks in eager PyTorch, in the fastest float32 form of the device."""

    def __init__(self, model: nn.Module, task: Task, batch: Batch) -> None:
        self.name = "torch"
        self.form = deployed_form(model, task, batch)
        self._device, self._task, self._batch = device_of(model), task, batch

    def operation(self, call: Call, sizes: Sequence[int]) -> Work:
        """Return the operation as PyTorch runs it."""
        return call.bound(sizes, self._device)

    def latencies(self, networks: Sequence[nn.Module]) -> list[float]:
        """Return the least seconds of each network."""
        with ExitStack() as stack:
            works = [
                stack.enter_context(deployed(net, self._task, self._batch, self.form))
                for net in networks
            ]
            return [min(times) for times in race(works, self._device)]


class OnnxBackend:
    """Runs networks exported to ONNX in onnxruntime, on the CPU."""

    def __init__(self, model: nn.Module, task: Task, batch: Batch) -> None:
        require_onnx()
        if device_of(model).type != "cpu":
            raise UsageError("onnxruntime is timed on the CPU only", "--device cpu")
        self.name, self.form = f"onnxruntime {version()}", Form()
        self._task, self._batch = task, batch

    def operation(self, call: Call, sizes: Sequence[int]) -> Work | None:
        """Return the operation as a graph of one node; what gets fused takes no time of its own."""
        return operation_in_onnx(call, sizes)

    def latencies(self, networks: Sequence[nn.Module]) -> list[float]:
        """Return the least seconds of each network."""
        works = [network_in_onnx(net, self._task, self._batch) for net in networks]
        return [min(times) for times in race(works, torch.device("cpu"))]


BACKENDS: Final[dict[str, type[TorchBackend] | type[OnnxBackend]]] = {
    "torch": TorchBackend,
    "onnxruntime": OnnxBackend,
}


def find_backend(name: str, model: nn.Module, task: Task, batch: Batch) -> Backend:
    """Return the backend called ``name`` for a network and what it is run on.

    Raises UsageError if it does not exist, is not installed, or does not run on the device.
    """
    if name not in BACKENDS:
        raise UsageError(f"unknown backend {name!r}", f"choose from {', '.join(BACKENDS)}")
    keep_memory()  # else the time of a plan hangs on which of its tensors malloc gives back
    return BACKENDS[name](model, task, batch)
