"""Score and loss of a network on a split."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from autoprune.data import Samples
from autoprune.data.task import Batch, RatedTask, SplitScoredTask, Task
from autoprune.networks.execution import (
    Precision,
    device_of,
    fastest_form,
    forward,
    laid_out,
    mode,
    move,
)

CPU_BATCH, BATCH = 64, 512
"""Samples per forward pass. On a CPU, whose cache has to hold the activations, batches of 512 take
twice as long (a ResNet-20; a DenseNet-40 2.4 times)."""


class Score(NamedTuple):
    """Mean score in [0, 1] and mean loss over a split; ``other``: the rates of a rated task."""

    score: float
    loss: float
    other: Mapping[str, float] = MappingProxyType({})


def measure(
    model: nn.Module,
    split: Samples,
    task: Task,
    batch_size: int | None = None,
    *,
    precision: Precision = "float32",
) -> Score:
    """Return the mean score and mean loss of ``model`` over ``split``, in eval mode.

    The rates of a :class:`autoprune.data.task.RatedTask` come under ``other``. Train or eval mode
    of every module is restored.
    """
    device = device_of(model)
    size = batch_size or (CPU_BATCH if device.type == "cpu" else BATCH)
    form = fastest_form(model, task, first_samples(split), precision)
    score, loss, count = 0.0, 0.0, 0
    rated = task if isinstance(task, RatedTask) else None
    whole = task if isinstance(task, SplitScoredTask) else None
    evidence: list[Tensor] = []
    counts: dict[str, list[float]] = {}
    with torch.inference_mode(), mode(model, train=False), laid_out(model, form):
        for batch in split.batches(size):
            moved = move(batch, device)
            outputs = forward(model, task, moved, form)
            samples = len(tree_leaves(moved)[0])
            count += samples
            loss += float(task.loss(outputs, moved)) * samples
            if whole:
                evidence.append(whole.evidence(outputs, moved).cpu())
            else:
                score += float(task.score(outputs, moved).double().sum())
            for name, (part, total) in rated.rates(outputs, moved).items() if rated else ():
                held = counts.setdefault(name, [0.0, 0.0])
                counts[name] = [held[0] + part, held[1] + total]
    other = {name: part / total if total else 0.0 for name, (part, total) in counts.items()}
    found = whole.score_of(torch.cat(evidence)) if whole else score / count
    return Score(found, loss / count, other)


def first_samples(split: Samples) -> Batch:
    """Return a batch of the first two samples."""
    return next(split.take(2).batches(2))
