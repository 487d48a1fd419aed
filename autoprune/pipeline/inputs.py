"""Inputs of a command: network, data and task, found and checked before any work."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from autoprune.data import Data, Samples, load_data
from autoprune.data.classification import Classification
from autoprune.data.named_task import resolve_task, weighed
from autoprune.data.task import Batch, Task
from autoprune.errors import DamagedError, UsageError
from autoprune.foundation import trust
from autoprune.foundation.launch import Launch
from autoprune.foundation.seeds import Seeds
from autoprune.foundation.user_code import is_factory
from autoprune.networks import hugging_face
from autoprune.networks.compatibility import check_compatible
from autoprune.networks.execution import device_of, move
from autoprune.networks.save import state_tensors
from autoprune.networks.spec import ModelSpec, model_spec
from autoprune.networks.weights import load_weights
from autoprune.pipeline.text_inputs import check_tokenizer, check_trained
from autoprune.runs.artifacts import START_OVER, Artifacts
from autoprune.structure.copies import plain_copy, unwrapped

CONFIG = "config.json"

EMBEDDED = "digits-resnet"
"""The network that is trained on the spot when no weights are given."""


@dataclass(frozen=True)
class Inputs:
    """A network with data and task. Splits come placed on the device of the network.

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
        """Device of the network."""
        return device_of(self.model)

    @property
    def example(self) -> Any:
        """Example inputs of the network, on the device."""
        return on_device(self.data.example(self.task), self.device)

    @property
    def train(self) -> Samples:
        """Training split, on the device."""
        return self.data.train.to(self.device)

    @property
    def search(self) -> Samples:
        """Split that plans are scored on, on the device."""
        return self.data.search.to(self.device)

    @property
    def validation(self) -> Samples:
        """Split that chooses among finalists, on the device."""
        return self.data.validation.to(self.device)

    @property
    def test(self) -> Samples:
        """Split that the delivered networks are measured on, on the device; read once."""
        return self.data.test.to(self.device)

    def calibration(self, count: int, seeds: Seeds) -> Samples:
        """Training samples for rankings and batch-norm statistics, on the device."""
        return self.data.calibration(count, seeds.calibration).to(self.device)

    def sized_batch(self, size: int) -> Batch:
        """First ``size`` training samples, on the device; latency is measured on them."""
        return move(next(self.data.train.batches(size)), self.device)


class Selection(Protocol):
    """Options that name network, data, task, device and seed."""

    @property
    def model(self) -> str | None:
        """Specification of the network."""

    @property
    def weights(self) -> str | None:
        """File of its weights; None for fresh ones."""

    @property
    def data(self) -> str:
        """Specification of the data."""

    @property
    def resize(self) -> int | None:
        """Pixels that images of the data are brought to, each side; None for their own size."""

    @property
    def task(self) -> str:
        """Specification of the task."""

    @property
    def device(self) -> str:
        """Name of the device."""

    @property
    def seed(self) -> int:
        """Seed of fresh weights and of the halves of what is held out."""


def from_config(config: Selection, *, untrained: bool = False) -> Inputs:
    """Load the inputs that the command line names; ``untrained``: also a network without weights.

    Raises UsageError or DamagedError, in one line, for anything missing, damaged or mismatched.
    """
    device = resolve_device(config.device)
    task = resolve_task(config.task)
    seeds = Seeds(config.seed)
    data = load_data(config.data, seeds.splits, config.resize)
    spec = model_spec(str(config.model), data)
    library, _, place = spec.factory.partition(":")
    pretrained = library == hugging_face.NAME
    if pretrained:
        check_tokenizer(place, config.data)
    if not (config.weights or pretrained or spec.factory == EMBEDDED or untrained):
        raise UsageError(
            f"{config.model} has no trained weights",
            "name them with --weights FILE (safetensors or a weights_only checkpoint), or of a run"
            " of autoprune train",
        )
    model = _fresh(spec, seeds)
    if config.weights is not None:
        load_weights(model, config.weights)
    elif not untrained:
        check_trained(place, model)
    model.to(device)
    task = weighed(task, data.train)
    check_compatible(model, data, task)
    return Inputs(model, spec, data, task, trained=pretrained or config.weights is not None)


def of_run(
    run: Path,
    data: str | None = None,
    task: str | None = None,
    resize: int | None = None,
    *,
    trust_code: bool = False,
) -> tuple[Data, Task]:
    """Find data, the size of their images, and task of a run, unless others are named.

    Functions that only the run names are imported if the user named them on this machine before,
    or with ``trust_code``.

    Raises UsageError for what must be named again, DamagedError for code that is not trusted.
    """
    known = known_config(Artifacts(run))
    spec = data or known.get("data")
    if spec is None or (data is None and not is_factory(spec) and "@" in spec):
        what = "names no data" if spec is None else f"was made with {spec}"
        raise UsageError(f"{run} {what}", "name it with --data, as in --data file.py:function")
    kind = task or known.get("task") or Classification().name
    if not trust_code:
        for option, given, found in (("--data", data, spec), ("--task", task, kind)):
            if given is None:
                trust.check_named(found, otherwise=f"name it with {option}")
    if resize is None and data is None:
        resize = known.get("resize")
    loaded = load_data(spec, Seeds(known.get("seed") or 0).splits, resize)
    return loaded, weighed(resolve_task(kind), loaded.train)


def known_config(artifacts: Artifacts) -> dict[str, Any]:
    """Read the stored options of a run, {} if there are none; raise DamagedError for nonsense."""
    if CONFIG not in artifacts.names:
        return {}
    meta = artifacts.json(CONFIG)
    config = meta.get("config") if isinstance(meta, dict) else None
    if not isinstance(config, dict) or not all(
        isinstance(config.get(name), kind | None)
        for name, kind in (("model", str), ("data", str), ("task", str), ("weights", str))
    ):
        raise DamagedError(
            f"{artifacts.path / CONFIG} is not the configuration of a run", START_OVER
        )
    for name, value in (("seed", config.get("seed", 0)), ("resize", config.get("resize") or 0)):
        if type(value) is not int:
            raise DamagedError(f"{artifacts.path / CONFIG} has a damaged {name}", START_OVER)
    return config


def from_objects(model: nn.Module | str, data: object, task: object, config: Selection) -> Inputs:
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
    seeds = Seeds(config.seed)
    loaded = load_data(data, seeds.splits, config.resize)
    resolved = weighed(resolved, loaded.train)
    spec = None
    if isinstance(model, str):
        spec = model_spec(model, loaded)
        if spec.factory != EMBEDDED:
            raise UsageError(
                f"{model} has no trained weights", "pass the trained nn.Module instead of its name"
            )
        model = _fresh(spec, seeds)
    if (spec or config.device != "auto") and device_of(model) != device:
        model = copy.deepcopy(model).to(device)
    model = unwrapped(model)
    check_compatible(model, loaded, resolved)
    return Inputs(plain_copy(model), spec, loaded, resolved, trained=spec is None)


def _fresh(spec: ModelSpec, seeds: Seeds) -> nn.Module:
    """Build a network whose initial weights depend on the seed only."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeds.weights)
        return spec.build(trust_code=True)


def on_device(example: Any, device: torch.device) -> Any:
    """Move the tensors of example inputs."""
    return tree_map(lambda leaf: leaf.to(device) if torch.is_tensor(leaf) else leaf, example)


def resolve_device(name: str) -> torch.device:
    """Return the device called ``name``; auto takes cuda where there is one.

    Of several processes that were launched together, each has the GPU of its number. Raises
    UsageError if the device does not exist.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    launch = Launch.of()
    if name == "cuda" and launch.size > 1:
        name = f"cuda:{launch.local_rank}"
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
    return tensors_hash(state_tensors(model))


def tensors_hash(tensors: Mapping[str, Tensor]) -> str:
    """Content hash of tensors by name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]
