"""What a command works on: network, data and task, found and checked before any work."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from torch import nn

from autoprune import models
from autoprune.config import SearchConfig
from autoprune.data import Data, load_data
from autoprune.errors import UsageError
from autoprune.execution import device_of
from autoprune.models import ModelSpec
from autoprune.saving import tensors_of
from autoprune.task import Task, resolve_task

EMBEDDED = "digits-resnet"
"""The network that is trained on the spot when no weights are given."""


@dataclass(frozen=True)
class Subject:
    """A network with data and task, on one device.

    ``spec`` builds the network again, None for a live object; ``trained`` is False if it has fresh
    weights and must be trained first.
    """

    model: nn.Module
    spec: ModelSpec | None
    data: Data
    task: Task
    trained: bool

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return device_of(self.model)


def from_config(config: SearchConfig) -> Subject:
    """Find what the command line names.

    Raises UsageError or DamagedError, in one line, for anything missing, damaged or mismatched.
    """
    device = resolve_device(config.device)
    task = resolve_task(config.task)
    data = load_data(config.data, config.seed)
    spec = models.model_spec(str(config.model), data)
    if config.weights is None and spec.factory != EMBEDDED:
        raise UsageError(
            f"{config.model} has no trained weights",
            "name them with --weights FILE (safetensors or a weights_only checkpoint)",
        )
    torch.manual_seed(config.seed)
    model = spec.build(trust_code=True)
    if config.weights is not None:
        models.load_weights(model, config.weights)
    model.to(device)
    models.check(model, data, task)
    return Subject(model, spec, data, task, trained=config.weights is not None)


def from_objects(model: nn.Module | str, data: object, task: object, device: str) -> Subject:
    """Take live objects: a trained network, and data and task as ``search`` accepts them."""
    loaded = load_data(data)
    resolved = resolve_task(task)
    spec = None
    if isinstance(model, str):
        spec = models.model_spec(model, loaded)
        model = spec.build(trust_code=True)
    if device != "auto":
        model = model.to(resolve_device(device))
    models.check(model, loaded, resolved)
    trained = spec is None or spec.factory != EMBEDDED
    return Subject(model, spec, loaded, resolved, trained)


def resolve_device(name: str) -> torch.device:
    """Return the device called ``name``; auto takes cuda where there is one.

    Raises UsageError if it does not exist.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.zeros(1, device=name).device
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"no device {name!r}: {reason}", "--device cpu always works") from error


def weights_hash(model: nn.Module) -> str:
    """Content hash of all parameters and buffers."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors_of(model).items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]
