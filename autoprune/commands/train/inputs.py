"""Inputs of a training: the network, its data and task, and the recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from autoprune.commands.train.config import TrainConfig
from autoprune.commands.train.fit_config import fit_config
from autoprune.data import Data
from autoprune.data.task import Task
from autoprune.networks.save import spec_json
from autoprune.pipeline.inputs import from_config
from autoprune.training.config import FitConfig


@dataclass(frozen=True)
class TrainingInputs:
    """Network to train, its data and task, and the recipe.

    - ``network``, ``data_name``, ``task_name``: names of network, data and task.
    - ``resize``: size that images were brought to, each side; None for their own.
    - ``model``: the network in its initial state, which training does not change.
    - ``spec``: content of its ``model.json``.
    - ``trained``: whether its initial weights are worth a measurement.
    - ``teacher``: dense network whose outputs are distilled, if any.
    - ``masks``: bool tensors by parameter; weights outside stay zero.
    - ``carried``: files of its run that stay true when it is trained further, by name.
    """

    network: str
    model: nn.Module
    spec: Mapping[str, Any]
    data: Data
    data_name: str
    resize: int | None
    task: Task
    task_name: str
    recipe: FitConfig
    trained: bool
    teacher: nn.Module | None = None
    masks: Mapping[str, Tensor] = field(default_factory=dict)
    carried: Mapping[str, Path] = field(default_factory=dict)

    def masks_on(self, device: torch.device) -> dict[str, Tensor]:
        """Return the masks that remove anything, on the device."""
        return {name: mask.to(device) for name, mask in self.masks.items() if not bool(mask.all())}


def train_inputs(config: TrainConfig) -> TrainingInputs:
    """Load the network that ``autoprune train`` trains, with fresh weights or given ones.

    Raises UsageError for names that mean nothing, DamagedError for damaged files.
    """
    named = from_config(config, untrained=True)
    return TrainingInputs(
        network=str(config.model),
        model=named.model,
        spec=spec_json(named.spec, {}, {}),
        data=named.data,
        data_name=config.data,
        resize=config.resize,
        task=named.task,
        task_name=config.task,
        recipe=fit_config(config, named.model, len(named.data.train)),
        trained=named.trained,
    )
