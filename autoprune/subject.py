"""What a command works on: network, data and task, found and checked before any work."""

from __future__ import annotations

import copy
import hashlib
from dataclasses import dataclass

import torch
from torch import nn

from autoprune import models
from autoprune.checks import check
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
    model = _fresh(spec, config.seed)
    if config.weights is not None:
        models.load_weights(model, config.weights)
    model.to(device)
    check(model, data, task)
    return Subject(model, spec, data, task, trained=config.weights is not None)


def from_objects(
    model: nn.Module | str, data: object, task: object, config: SearchConfig
) -> Subject:
    """Take live objects: a trained network, and data and task as ``search`` accepts them.

    Device and seed come from ``config``.

    Raises UsageError, in one line, for anything that is none of them or does not fit the others.
    """
    if not isinstance(model, (nn.Module, str)):
        kind = model.__name__ if isinstance(model, type) else type(model).__name__
        raise UsageError(
            f"the model is {kind}, not an nn.Module", "pass a trained network: an instance"
        )
    device = resolve_device(config.device)
    resolved = resolve_task(task)
    loaded = load_data(data, config.seed)
    spec = None
    if isinstance(model, str):
        spec = models.model_spec(model, loaded)
        if spec.factory != EMBEDDED:
            raise UsageError(
                f"{model} has no trained weights", "pass the trained nn.Module instead of its name"
            )
        model = _fresh(spec, config.seed)
    if (spec or config.device != "auto") and device_of(model) != device:
        model = copy.deepcopy(model).to(device)
    check(model, loaded, resolved)
    return Subject(model, spec, loaded, resolved, trained=spec is None)


def _fresh(spec: ModelSpec, seed: int) -> nn.Module:
    """Build a network whose initial weights depend on the seed only."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return spec.build(trust_code=True)


def resolve_device(name: str) -> torch.device:
    """Return the device called ``name``; auto takes cuda where there is one.

    Raises UsageError if it does not exist.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.zeros(1, device=name).device
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0].split(". ")[0].split(" device type at start")[0]
        raise UsageError(f"no device {name!r}: {reason}", "--device cpu always works") from error
    if device.type == "meta":
        raise UsageError("nothing is computed on device 'meta'", "--device cpu always works")
    return device


def weights_hash(model: nn.Module) -> str:
    """Content hash of all parameters and buffers."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors_of(model).items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]
