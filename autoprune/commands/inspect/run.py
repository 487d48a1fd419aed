"""Entry of ``autoprune inspect``."""

from __future__ import annotations

from typing import Final

from torch import nn

from autoprune.commands.inspect.config import InspectConfig
from autoprune.commands.inspect.result import Inspection
from autoprune.cost.latency.layers import branch_shares
from autoprune.cost.model import CostModel
from autoprune.data import Data, load_data
from autoprune.data.named_task import resolve_task
from autoprune.data.task import Task
from autoprune.foundation.progress import Progress
from autoprune.networks.analysis import analyze_for
from autoprune.networks.spec import resolve_model
from autoprune.networks.threads import suitable_threads, threads
from autoprune.networks.weights import load_weights
from autoprune.structure.table import Structure

BATCH: Final = 16
"""Samples of a pass in which the branches are timed."""


def run_inspect(config: InspectConfig, progress: Progress) -> Inspection:
    """Carry out ``autoprune inspect``; raises AutopruneError for errors that a user can fix."""
    with progress.phase("inspect", 1) as phase:
        task = resolve_task(config.task)
        data = load_data(config.data, resize=config.resize)
        model = resolve_model(str(config.model), data)
        if config.weights is not None:
            load_weights(model, config.weights)
        structure = analyze_for(task, model, data.example(task), config.outputs, config.sizes)
        times = _times(model, task, data, structure)
        inspection = Inspection.of(
            structure, model=str(config.model), data=config.data, times=times
        )
        phase.advance()
    return inspection


def _times(model: nn.Module, task: Task, data: Data, structure: Structure) -> dict[str, float]:
    """Measure the shares of the time that the branches take."""
    if not structure.branches:
        return {}
    batch = next(data.train.take(BATCH).batches(BATCH))
    with threads(suitable_threads(CostModel(structure).macs.dense)):
        return branch_shares(model, task, batch, structure.branches)
