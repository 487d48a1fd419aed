"""Accuracy of trained networks before pruning, and after pruning and fine-tuning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from autoprune.commands.bench.config import BenchConfig
from autoprune.data import Data
from autoprune.data.task import Task, metric
from autoprune.errors import UsageError
from autoprune.foundation.progress import Progress
from autoprune.foundation.user_code import is_factory
from autoprune.networks.batches import Batches
from autoprune.networks.execution import Form
from autoprune.networks.score import measure
from autoprune.networks.spec import resolve_model
from autoprune.networks.weights import load_weights
from autoprune.pipeline.inputs import of_run
from autoprune.ranking.rank import rank
from autoprune.ranking.recalibration import Recalibration
from autoprune.runs.artifacts import Artifacts
from autoprune.runs.run import CONFIG
from autoprune.structure.plan import Plan
from autoprune.structure.slicing import Slicer
from autoprune.structure.table import Structure
from autoprune.training.distillation import teachable
from autoprune.training.loop import fit
from autoprune.training.recipes import SOFTER, recipe

CALIBRATION = 1000
"""Training samples for the ranking and the batch statistics."""

DISTILL = 0.5
"""Weight of the dense network's outputs in fine-tuning."""


@dataclass(frozen=True)
class TrainedNetwork:
    """Trained network of the zoo, with the data and the task it was trained on."""

    name: str
    model: nn.Module
    data: Data
    task: Task

    @property
    def metric(self) -> str:
        """Name of its score."""
        return metric(self.task)


def trained_networks(runs: Sequence[str], device: torch.device) -> dict[str, TrainedNetwork]:
    """Load the networks of runs of ``autoprune train``, by the name of the network.

    Raises UsageError for directories that are no such runs, DamagedError for damaged ones.
    """
    networks = {}
    for run in map(Path, runs):
        artifacts = Artifacts(run)
        if CONFIG not in artifacts.names:
            raise UsageError(f"{run} is not a run", "give the directory of autoprune train")
        name = str(artifacts.json(CONFIG)["config"].get("model"))
        if is_factory(name):
            raise UsageError(f"{run} trained {name}", "the table has networks of the zoo only")
        data, task = of_run(run)
        model = resolve_model(name, data)
        load_weights(model, run)
        networks[name] = TrainedNetwork(name, model.to(device).eval(), data, task)
    return networks


def accuracies(
    trained: TrainedNetwork,
    structure: Structure,
    plan: Plan,
    config: BenchConfig,
    device: torch.device,
    progress: Progress,
) -> tuple[float, float]:
    """Return the score on the test split of a network, and of its pruned, fine-tuned copy.

    Units are ranked by regression, the remaining weights repaired, batch statistics recomputed.
    """
    model, data, task, seed = trained.model, trained.data.to(device), trained.task, config.seed
    calibration = data.calibration(CALIBRATION, seed)
    ranking = rank(model, structure, "regression", task=task, calibration=calibration, seed=seed)
    recalibrate = Recalibration(model, task, Batches(calibration, 128, model, Form(), seed=seed))
    compact = Slicer(model, structure).build(
        ranking.kept(plan), ranking.weights(plan) | recalibrate.references
    )
    recalibrate(compact)
    if config.finetune_epochs or config.finetune_steps:
        fit_config = recipe(compact, len(data.train))
        fit_config = replace(
            fit_config,
            epochs=config.finetune_epochs or 1,
            steps=config.finetune_steps,
            learning_rate=SOFTER * fit_config.learning_rate,
            distill=DISTILL if teachable(task) else 0.0,
            seed=seed,
        )
        compact.requires_grad_(True)

        def validate(network: nn.Module) -> float:
            return measure(network, data.validation, task).loss

        with progress.phase("finetune", fit_config.length(len(data.train))) as phase:
            fit(
                compact,
                data.train,
                task,
                fit_config,
                teacher=model if fit_config.distill else None,
                on_step=lambda step, total, loss: phase.advance(loss=loss),
                validate=validate,
            )
    return measure(model, data.test, task).score, measure(compact, data.test, task).score
