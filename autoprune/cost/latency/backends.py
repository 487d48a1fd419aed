"""Backends that run and time a network: eager PyTorch, or onnxruntime."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Final, Protocol

import torch
from torch import nn

from autoprune.cost.latency.calls import Call
from autoprune.cost.latency.clock import TURNS, TimingConfig, Work, race
from autoprune.cost.latency.deployed import deployed, deployed_form
from autoprune.cost.latency.onnx import network_in_onnx, operation_in_onnx, require_onnx, version
from autoprune.data.task import Batch, Task
from autoprune.errors import UsageError
from autoprune.networks.execution import Form, device_of, keep_memory


class Backend(Protocol):
    """Source of times of single operations and whole networks."""

    name: str
    form: Form

    def operation(self, call: Call, sizes: Sequence[int]) -> Work | None:
        """Return an operation on random tensors, or None if it takes no time of its own."""

    def latencies(self, networks: Sequence[nn.Module]) -> list[float]:
        """Return the seconds that each network takes for the batch, taking turns."""


class TorchBackend:
    """Eager PyTorch, in the fastest float32 form of the device."""

    def __init__(
        self, model: nn.Module, task: Task, batch: Batch, turns: TimingConfig = TURNS
    ) -> None:
        self.name, self._turns = "torch", turns
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
            return [min(times) for times in race(works, self._device, self._turns)]


class OnnxBackend:
    """onnxruntime on the CPU, for networks exported to ONNX."""

    def __init__(
        self, model: nn.Module, task: Task, batch: Batch, turns: TimingConfig = TURNS
    ) -> None:
        require_onnx()
        if device_of(model).type != "cpu":
            raise UsageError("onnxruntime is timed on the CPU only", "--device cpu")
        self.name, self.form = f"onnxruntime {version()}", Form()
        self._task, self._batch, self._turns = task, batch, turns

    def operation(self, call: Call, sizes: Sequence[int]) -> Work | None:
        """Return the operation as a graph of one node; what gets fused takes no time of its own."""
        return operation_in_onnx(call, sizes)

    def latencies(self, networks: Sequence[nn.Module]) -> list[float]:
        """Return the least seconds of each network."""
        works = [network_in_onnx(net, self._task, self._batch) for net in networks]
        return [min(times) for times in race(works, torch.device("cpu"), self._turns)]


BACKENDS: Final[dict[str, type[TorchBackend] | type[OnnxBackend]]] = {
    "torch": TorchBackend,
    "onnxruntime": OnnxBackend,
}


def find_backend(
    name: str, model: nn.Module, task: Task, batch: Batch, turns: TimingConfig = TURNS
) -> Backend:
    """Return the backend called ``name`` for a network and the batch it runs on.

    ``turns`` says how long networks that are timed in turns take turns.

    Raises UsageError if it does not exist, is not installed, or does not run on the device.
    """
    if name not in BACKENDS:
        raise UsageError(f"unknown backend {name!r}", f"choose from {', '.join(BACKENDS)}")
    keep_memory()  # else a plan's time depends on which of its tensors malloc gives back
    return BACKENDS[name](model, task, batch, turns)
