"""The network that ``autoprune finetune`` trains further: of a finished run, or the user's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from autoprune.commands.train.config import FinetuneConfig, TrainConfig
from autoprune.data import Data
from autoprune.data.task import Classification, Task
from autoprune.errors import UsageError
from autoprune.networks.compatibility import check_compatible
from autoprune.networks.save import SPEC, load, spec_json
from autoprune.networks.spec import ModelSpec, model_spec, resolve_model
from autoprune.networks.weights import BASE, load_weights, read_tensors
from autoprune.pipeline.inputs import from_config, known_config, of_run, resolve_device
from autoprune.runs.artifacts import Artifacts

MASKS = "masks.safetensors"
CARRIED = (MASKS, "plan.json", BASE)
"""What a run has beside the weights that stays true of the network when it is trained further."""


@dataclass(frozen=True)
class Source:
    """A trained network with its data; ``spec`` is its ``model.json``.

    ``network``, ``named`` and ``kind`` are what network, data and task are called.
    """

    network: str
    model: nn.Module
    spec: Mapping[str, Any]
    data: Data
    named: str
    task: Task
    kind: str
    teacher: nn.Module | None = None
    masks: Mapping[str, Tensor] = field(default_factory=dict)
    carried: Mapping[str, Path] = field(default_factory=dict)


def find_source(config: FinetuneConfig) -> Source:
    """Find the network to train further, with its masks and its teacher.

    Raises UsageError for a run without a network or what must be named again, DamagedError for
    damaged files.
    """
    return _own(config) if config.run is None else _of_run(config, Path(config.run))


def _own(config: FinetuneConfig) -> Source:
    kind = config.task or Classification().name
    named = TrainConfig(
        model=config.model,
        weights=config.weights,
        data=str(config.data),
        task=kind,
        device=config.device,
        seed=config.seed,
    )
    found = from_config(named)
    teacher = None
    if config.teacher is not None and _taught(config, found.task):
        teacher = resolve_model(str(config.model), found.data).to(found.device)
        load_weights(teacher, config.teacher)
    spec = spec_json(found.spec, {}, {})
    return Source(
        str(config.model), found.model, spec, found.data, named.data, found.task, kind, teacher
    )


def _of_run(config: FinetuneConfig, run: Path) -> Source:
    if not (run / SPEC).is_file():
        raise UsageError(f"{run} holds no network", "give the directory of a finished run")
    device = resolve_device(config.device)
    data, task = of_run(run, config.data, config.task, trust_code=config.trust_code)
    artifacts = Artifacts(run)
    spec = artifacts.json(SPEC)
    dense = resolve_model(config.model, data) if config.model else None
    model = load(run, dense, trust_code=config.trust_code).to(device)
    check_compatible(model, data, task)
    known = known_config(artifacts)
    teacher = None
    if _taught(config, task):
        teacher = _teacher(config, artifacts, known.get("weights"), spec.get("model"), data)
    if config.model:
        spec = spec | {"model": model_spec(config.model, data).to_json()}
    return Source(
        network=str(config.model or known.get("model") or known.get("network") or run.name),
        model=model,
        spec=spec,
        data=data,
        named=str(config.data or known.get("data")),
        task=task,
        kind=str(config.task or known.get("task") or task.name),
        teacher=teacher.to(device) if teacher else None,
        masks=_masks(artifacts, model),
        carried={name: artifacts.file(name) for name in CARRIED if name in artifacts.names},
    )


def _taught(config: FinetuneConfig, task: Task) -> bool:
    """Say whether a teacher is of use: softened classes mean nothing to other tasks."""
    return config.distill > 0 and isinstance(task, Classification)


def _teacher(
    config: FinetuneConfig, artifacts: Artifacts, weights: str | None, spec: Any, data: Data
) -> nn.Module | None:
    """Build the dense network that teaches; None if its weights are not known or gone."""
    where: str | Path | None = config.teacher
    if where is None and BASE in artifacts.names:
        where = artifacts.path
    if where is None and weights is not None and Path(weights).expanduser().exists():
        where = weights
    if where is None or (spec is None and config.model is None):
        return None
    if config.model:
        teacher = resolve_model(config.model, data)
    else:
        teacher = ModelSpec.from_json(spec).build(trust_code=config.trust_code)
    load_weights(teacher, where)
    return teacher


def _masks(artifacts: Artifacts, model: nn.Module) -> dict[str, Tensor]:
    """Return the masks of single weights; those of channels have been cut and have other shapes."""
    if MASKS not in artifacts.names:
        return {}
    shapes = {name: value.shape for name, value in model.named_parameters()}
    return {
        name: mask.bool()
        for name, mask in read_tensors(artifacts.file(MASKS)).items()
        if shapes.get(name) == mask.shape
    }
