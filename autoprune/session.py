"""A search under way: what it works on, its run directory, its curves, and where it reports to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._pytree import tree_map

from autoprune.analysis import analyze
from autoprune.budget import BoundBudget, Budget
from autoprune.config import SearchConfig
from autoprune.cost import CostModel
from autoprune.curves import Curves
from autoprune.errors import UsageError
from autoprune.progress import Progress
from autoprune.run import Run
from autoprune.structure import Structure
from autoprune.subject import Subject


@dataclass(frozen=True)
class Session:
    """Everything the phases of a search share."""

    subject: Subject
    config: SearchConfig
    structure: Structure
    cost: CostModel
    budget: BoundBudget
    run: Run
    curves: Curves
    progress: Progress


def find_structure(subject: Subject, progress: Progress) -> Structure:
    """Analyse the network of a subject.

    Raises UsageError, with reasons, if nothing in it can be pruned.
    """
    with progress.phase("inspect", 1) as phase:
        example = on_device(subject.data.example(subject.task), subject.device)
        structure = analyze(subject.model, example)
        phase.advance()
    if not structure.groups:
        reasons = "; ".join(f"{item.name}: {item.reason}" for item in structure.pinned[:3])
        raise UsageError(
            f"nothing in the network can be pruned ({reasons or 'it has no layers with weights'})",
            "autoprune inspect lists what is pinned and why",
        )
    return structure


def bind_budget(config: SearchConfig, cost: CostModel) -> BoundBudget:
    """Fix the budget to the network, before any training.

    Raises UsageError for a budget that makes no sense, InfeasibleError for one out of reach.
    """
    return Budget.parse(config.budget).bind(cost, config.align)


def on_device(example: Any, device: torch.device) -> Any:
    """Move the tensors of example inputs."""
    return tree_map(lambda leaf: leaf.to(device) if torch.is_tensor(leaf) else leaf, example)
