"""Backends that run and time a network: eager PyTorch, onnxruntime, or a plug-in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from statistics import median
from typing import Any, Final, Protocol

import torch
from torch import nn

from autoprune.cost.latency.calls import Call
from autoprune.cost.latency.clock import TURNS, TimingConfig, Work, race
from autoprune.cost.latency.deployed import deployed, deployed_form
from autoprune.cost.latency.onnx import network_in_onnx, operation_in_onnx, require_onnx, version
from autoprune.cost.latency.operation import Operation
from autoprune.data.task import Batch, Task, arguments
from autoprune.errors import UsageError
from autoprune.foundation import plugins
from autoprune.foundation.user_code import blamed
from autoprune.networks.execution import Form, device_of, keep_memory, mode

Prepare = Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], Work]
"""Plug-in: brings a network, in evaluation mode, into the form it is deployed in for inputs.

What it returns runs it on them once and comes back when the outputs are there. If that returns a
float, it has timed itself: the seconds of one pass.
"""


class Backend(Protocol):
    """Source of times of single operations and whole networks."""

    name: str
    form: Form

    def operation(self, call: Call, sizes: Sequence[int]) -> Work | None:
        """Return an operation on random tensors, or None if it takes no time of its own."""

    def rounds(self, networks: Sequence[nn.Module]) -> list[list[float]]:
        """Return the seconds of each network for the batch, round by round, taking turns."""


def latencies(backend: Backend, networks: Sequence[nn.Module]) -> list[float]:
    """Return the median seconds that each network takes for the batch, taking turns."""
    return [median(times) for times in backend.rounds(networks)]


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

    def rounds(self, networks: Sequence[nn.Module]) -> list[list[float]]:
        """Return the seconds of each network in each round."""
        with ExitStack() as stack:
            works = [
                stack.enter_context(deployed(net, self._task, self._batch, self.form))
                for net in networks
            ]
            return race(works, self._device, self._turns)


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

    def rounds(self, networks: Sequence[nn.Module]) -> list[list[float]]:
        """Return the seconds of each network in each round."""
        works = [network_in_onnx(net, self._task, self._batch) for net in networks]
        return race(works, torch.device("cpu"), self._turns)


class PluginBackend:
    """Backend of another package or a caller; an operation is a network of its own to it."""

    def __init__(
        self,
        prepare: Prepare,
        model: nn.Module,
        task: Task,
        batch: Batch,
        turns: TimingConfig = TURNS,
    ) -> None:
        self.name, self.form = plugins.name_of(prepare), Form()
        self._prepare, self._turns, self._device = prepare, turns, device_of(model)
        self._inputs = arguments(task, batch)

    def operation(self, call: Call, sizes: Sequence[int]) -> Work:
        """Return the operation as the plug-in runs a network of it alone."""
        alone = Operation(call, sizes, self._device)
        return self._prepared(alone.eval(), (alone.example,), {})

    def rounds(self, networks: Sequence[nn.Module]) -> list[list[float]]:
        """Return the seconds of each network in each round."""
        with ExitStack() as stack, blamed(f"the backend {self.name} cannot run the network"):
            works = []
            for network in networks:
                stack.enter_context(mode(network, train=False))
                works.append(self._prepared(network, *self._inputs))
            return race(works, self._device, self._turns)

    def _prepared(self, network: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Work:
        with torch.no_grad(), blamed(f"the backend {self.name} cannot prepare a network"):
            work = self._prepare(network, args, kwargs)
        if not callable(work):
            raise UsageError(
                f"the backend {self.name} returns no function that runs the network",
                "return one without arguments",
            )
        return work


BACKENDS: Final[dict[str, type[TorchBackend] | type[OnnxBackend]]] = {
    "torch": TorchBackend,
    "onnxruntime": OnnxBackend,
}


def check_backend(name: str) -> None:
    """Raise UsageError if a backend does not exist or is not installed."""
    if name not in BACKENDS and not plugins.known("backends", name):
        known = [*BACKENDS, *plugins.installed("backends")]
        raise UsageError(f"unknown backend {name!r}", f"choose from {', '.join(known)}")
    if name == "onnxruntime":
        require_onnx()


def runs_here(name: str, device: torch.device) -> bool:
    """Whether one of our backends is installed and runs networks of a device."""
    try:
        check_backend(name)
    except UsageError:
        return False
    return name != "onnxruntime" or device.type == "cpu"


def find_backend(
    name: str, model: nn.Module, task: Task, batch: Batch, turns: TimingConfig = TURNS
) -> Backend:
    """Return the backend called ``name`` for a network and the batch it runs on.

    ``turns`` says how long networks that are timed in turns take turns.

    Raises UsageError if it does not exist, is not installed, or does not run on the device.
    """
    check_backend(name)
    keep_memory()  # else a plan's time depends on which of its tensors malloc gives back
    if name in BACKENDS:
        return BACKENDS[name](model, task, batch, turns)
    prepare = plugins.find("backends", name)
    if not callable(prepare):
        raise UsageError(f"the backend {name!r} is no function", "see docs/latency.md")
    return PluginBackend(prepare, model, task, batch, turns)
