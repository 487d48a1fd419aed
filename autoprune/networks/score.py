"""Score and loss of a network on a split."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from autoprune.data import Samples
from autoprune.data.task import Batch, RatedTask, ReadTask, SplitScoredTask, Task
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
    """Mean score in [0, 1] and mean loss over a split.

    ``other``: the rates of a rated task, and what else the score is read as.
    """

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
    score, loss, count = 0.0, 0.0, 0
    rated = task if isinstance(task, RatedTask) else None
    whole = task if isinstance(task, SplitScoredTask) else None
    evidence: list[Tensor] = []
    counts: dict[str, list[float]] = {}
    for outputs, batch in _passes(model, split, task, batch_size, precision):
        samples = len(tree_leaves(batch)[0])
        count += samples
        loss += float(task.loss(outputs, batch)) * samples
        if whole:
            evidence.append(whole.evidence(outputs, batch).cpu())
        else:
            score += float(task.score(outputs, batch).double().sum())
        for name, (part, total) in rated.rates(outputs, batch).items() if rated else ():
            held = counts.setdefault(name, [0.0, 0.0])
            counts[name] = [held[0] + part, held[1] + total]
    other = {name: part / total if total else 0.0 for name, (part, total) in counts.items()}
    found = whole.score_of(torch.cat(evidence)) if whole else score / count
    if isinstance(task, ReadTask):
        other |= task.readings(found)
    return Score(found, loss / count, other)


def sample_scores(model: nn.Module, split: Samples, task: Task) -> Tensor:
    """Return the score of each sample of a split [samples], in eval mode.

    Of a :class:`autoprune.data.task.SplitScoredTask`, the evidence that its score is made of.
    """
    whole = task if isinstance(task, SplitScoredTask) else None
    found = [
        whole.evidence(outputs, batch) if whole else task.score(outputs, batch).double()
        for outputs, batch in _passes(model, split, task, None, "float32")
    ]
    return torch.cat([part.cpu() for part in found])


def _passes(
    model: nn.Module, split: Samples, task: Task, batch_size: int | None, precision: Precision
) -> Iterator[tuple[Any, Batch]]:
    """Yield outputs and batches of a split, in eval mode; the modes are restored at the end."""
    device = device_of(model)
    size = batch_size or (CPU_BATCH if device.type == "cpu" else BATCH)
    form = fastest_form(model, task, first_samples(split), precision)
    with torch.inference_mode(), mode(model, train=False), laid_out(model, form):
        for batch in split.batches(size):
            moved = move(batch, device)
            yield forward(model, task, moved, form), moved


def first_samples(split: Samples) -> Batch:
    """Return a batch of the first two samples."""
    return next(split.take(2).batches(2))
