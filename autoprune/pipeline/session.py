"""Work under way: what it is on, its run directory, its curves, and where it reports to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._pytree import tree_map

from autoprune.cost.budget import BoundBudget, Budget, allowed_counts
from autoprune.cost.latency import LatencyModel, Survey, width_steps
from autoprune.cost.polynomial import CostModel
from autoprune.foundation.progress import Progress
from autoprune.networks.execution import move
from autoprune.pipeline.config import PruningConfig
from autoprune.pipeline.curves import Curves
from autoprune.pipeline.inputs import Inputs
from autoprune.problem.granularity import Grain
from autoprune.runs.artifacts import Artifacts
from autoprune.runs.run import Run
from autoprune.structure import Structure
from autoprune.structure.analyze import analyze

LATENCY = "latency.json"


@dataclass(frozen=True)
class Session:
    """Everything the phases share."""

    inputs: Inputs
    config: PruningConfig
    grain: Grain
    budget: BoundBudget
    latency: LatencyModel | None
    run: Run
    curves: Curves
    progress: Progress

    @property
    def structure(self) -> Structure:
        """How the tensors of the network hang together."""
        return self.grain.structure

    @property
    def cost(self) -> CostModel:
        """What a plan costs."""
        return self.grain.cost


def find_structure(inputs: Inputs, progress: Progress) -> Structure:
    """Analyze the network of a inputs."""
    with progress.phase("inspect", 1) as phase:
        example = on_device(inputs.data.example(inputs.task), inputs.device)
        structure = analyze(inputs.model, example)
        phase.advance()
    return structure


def find_latency(
    inputs: Inputs, config: PruningConfig, structure: Structure, progress: Progress
) -> LatencyModel | None:
    """Measure the latency of every plan, or take it from the run; None if no limit is on it."""
    if "latency" not in Budget.parse(config.budget).costs:
        return None
    stored = Artifacts(config.directory)
    if not config.fresh and stored.intact(LATENCY):
        return LatencyModel.from_json(stored.json(LATENCY))
    sizes = structure.sizes.values()
    choices = allowed_counts(sizes, _steps(config, structure, inputs.device))
    batch = move(next(inputs.data.train.batches(config.latency_batch)), inputs.device)
    survey = Survey(inputs.model, structure, inputs.task, batch, choices, config.backend)
    for text in survey.notes:
        progress.note(text)
    with progress.phase("latency", max(1, len(survey.missing))) as phase:
        return survey.take(phase.advance)


def bind_budget(config: PruningConfig, cost: CostModel, device: torch.device) -> BoundBudget:
    """Fix the budget to the network, before any training.

    Raises UsageError for a budget that makes no sense, InfeasibleError for one out of reach.
    """
    steps = _steps(config, cost.structure, device)
    return Budget.parse(config.budget).bind(cost, steps)


def _steps(config: PruningConfig, structure: Structure, device: torch.device) -> tuple[int, ...]:
    """Return for each group what its widths are multiples of."""
    if config.align is None and "latency" in Budget.parse(config.budget).costs:
        return width_steps(structure.sizes.values(), device)
    return (config.align or 1,) * len(structure.groups)


def on_device(example: Any, device: torch.device) -> Any:
    """Move the tensors of example inputs."""
    return tree_map(lambda leaf: leaf.to(device) if torch.is_tensor(leaf) else leaf, example)
