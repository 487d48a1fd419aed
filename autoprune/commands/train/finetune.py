"""Inputs of ``autoprune finetune``: the network of a finished run, or the user's own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from torch import nn

from autoprune.commands.train.config import FinetuneConfig, TrainConfig
from autoprune.commands.train.fit_config import fit_config
from autoprune.commands.train.inputs import TrainingInputs
from autoprune.data import Data
from autoprune.data.classification import Classification
from autoprune.data.task import Task
from autoprune.errors import UsageError
from autoprune.networks.compatibility import check_compatible
from autoprune.networks.save import SPEC, load, spec_json
from autoprune.networks.spec import model_spec, resolve_model
from autoprune.networks.weights import load_weights
from autoprune.pipeline.dense_of import dense_of, weight_masks
from autoprune.pipeline.inputs import from_config, known_config, of_run, resolve_device
from autoprune.pipeline.network_files import carried
from autoprune.runs.artifacts import Artifacts
from autoprune.training.config import FitConfig
from autoprune.training.distillation import teachable


def finetune_inputs(config: FinetuneConfig) -> TrainingInputs:
    """Load the network to train further, with its masks and its teacher.

    Raises UsageError for a run without a network or what must be named again, DamagedError for
    damaged files.
    """
    return _own_network(config) if config.run is None else _network_of_run(config, Path(config.run))


def _own_network(config: FinetuneConfig) -> TrainingInputs:
    task_name = config.task or Classification().name
    named = TrainConfig(
        model=config.model,
        weights=config.weights,
        data=str(config.data),
        resize=config.resize,
        task=task_name,
        device=config.device,
        seed=config.seed,
    )
    inputs = from_config(named)
    teacher = None
    if config.teacher is not None and _can_be_taught(config, inputs.task):
        teacher = resolve_model(str(config.model), inputs.data).to(inputs.device)
        load_weights(teacher, config.teacher)
    return TrainingInputs(
        network=str(config.model),
        model=inputs.model,
        spec=spec_json(inputs.spec, {}, {}),
        data=inputs.data,
        data_name=named.data,
        resize=named.resize,
        task=inputs.task,
        task_name=task_name,
        recipe=_taught_recipe(config, inputs.model, inputs.data, teacher),
        trained=True,
        teacher=teacher,
    )


def _network_of_run(config: FinetuneConfig, run: Path) -> TrainingInputs:
    if not (run / SPEC).is_file():
        raise UsageError(f"{run} holds no network", "give the directory of a finished run")
    device = resolve_device(config.device)
    data, task = of_run(run, config.data, config.task, config.resize, trust_code=config.trust_code)
    artifacts = Artifacts(run)
    spec = artifacts.json(SPEC)
    dense = resolve_model(config.model, data) if config.model else None
    model = load(run, dense, trust_code=config.trust_code).to(device)
    check_compatible(model, data, task)
    known = known_config(artifacts)
    teacher = None
    if _can_be_taught(config, task):
        teacher = dense_of(
            artifacts, data, config.model, config.teacher, trust_code=config.trust_code
        )
    if config.model:
        spec = spec | {"model": model_spec(config.model, data).to_json()}
    return TrainingInputs(
        network=str(config.model or known.get("model") or known.get("network") or run.name),
        model=model,
        spec=spec,
        data=data,
        data_name=str(config.data or known.get("data")),
        resize=config.resize or (None if config.data else known.get("resize")),
        task=task,
        task_name=str(config.task or known.get("task") or task.name),
        recipe=_taught_recipe(config, model, data, teacher),
        trained=True,
        teacher=None if teacher is None else teacher.to(device),
        masks=weight_masks(artifacts, model),
        carried=carried(artifacts),
    )


def _taught_recipe(
    config: FinetuneConfig, model: nn.Module, data: Data, teacher: nn.Module | None
) -> FitConfig:
    """Return the recipe; without a teacher nothing is distilled."""
    recipe = fit_config(config, model, len(data.train))
    return recipe if teacher is not None else replace(recipe, distill=0.0)


def _can_be_taught(config: FinetuneConfig, task: Task) -> bool:
    """Whether a teacher is of use: some tasks have no softened classes."""
    return config.distill > 0 and teachable(task)
