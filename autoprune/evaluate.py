"""Scoring plans: slice, repair, move batch statistics, run the search split held in memory."""

from __future__ import annotations

import time
from collections.abc import Mapping

import torch
from torch import nn

from autoprune.batches import Batches
from autoprune.data import Split
from autoprune.execution import (
    Form,
    Precision,
    device_of,
    fastest_form,
    forward,
    keep_memory,
    laid_out,
    move,
)
from autoprune.factories import blamed
from autoprune.folding import find_foldable, folded
from autoprune.problem import Evaluation
from autoprune.ranking import Ranking
from autoprune.recalibration import Recalibration
from autoprune.slicing import Slicer
from autoprune.structure.table import Structure
from autoprune.task import Batch, Task

CPU_BATCH, BATCH = 128, 1024
"""Samples per forward pass: few on a CPU, whose cache has to hold the activations."""

TOLERANCE = 0.01
"""Difference of score, and relative difference of loss, within which bfloat16 is exact enough."""

_CODE_WANTS_MULTIPLES = "if its code wants multiples of some number, pass that: --align 4"


class Evaluator:
    """Scores plans of one model, which is never changed; the same plan always scores the same.

    ``search`` is what plans are scored on, ``calibration`` what batch statistics are moved by (see
    :mod:`autoprune.recalibration`; 256 samples are enough). ``precision`` is
    ``float32``, ``bfloat16``, or ``auto``, which takes bfloat16 where the device is faster with it
    and the dense model scores the same to within TOLERANCE. ``form`` says what it came to.
    """

    def __init__(
        self,
        model: nn.Module,
        structure: Structure,
        ranking: Ranking,
        task: Task,
        search: Split,
        calibration: Split,
        *,
        precision: Precision = "auto",
        batch_size: int | None = None,
    ) -> None:
        keep_memory()
        self.ranking, self.task = ranking, task
        self._slicer = Slicer(model, structure)
        net = self._slicer({})
        size = batch_size or (CPU_BATCH if device_of(net).type == "cpu" else BATCH)
        self.form = _exact_enough_form(net, task, search, precision, size)
        self._search = Batches(search, size, net, self.form)
        samples = Batches(calibration, size, net, self.form, seed=0)
        self._recalibrate = Recalibration(net, task, samples)
        self._pairs = find_foldable(net, task, move(_few(search), device_of(net)))

    def __call__(self, plan: Mapping[str, int]) -> Evaluation:
        """Score ``plan`` on the search split: mean score, mean loss, seconds taken.

        Raises UsageError if the model's code fails at this size.
        """
        start = time.perf_counter()
        with blamed("the network does not run on fewer units", _CODE_WANTS_MULTIPLES):
            weights = self.ranking.weights(plan) | self._recalibrate.references
            net = self._slicer(self.ranking.kept(plan), weights)
            with laid_out(net, self.form):
                self._recalibrate(net)
                with folded(self._pairs):
                    score, loss = _measure(net, self.task, self._search)
        return Evaluation(score, loss, time.perf_counter() - start)


def _measure(model: nn.Module, task: Task, batches: Batches) -> tuple[float, float]:
    """Mean score and mean loss of a model in eval mode."""
    scores, losses, count = [], [], 0
    with torch.inference_mode():
        for batch in batches:
            outputs = forward(model, task, batch, batches.form)
            each = task.score(outputs, batch)
            scores.append(each.double().sum())
            losses.append(task.loss(outputs, batch).double() * len(each))
            count += len(each)
    return float(torch.stack(scores).sum()) / count, float(torch.stack(losses).sum()) / count


def _exact_enough_form(
    model: nn.Module, task: Task, search: Split, precision: Precision, size: int
) -> Form:
    form = fastest_form(model, task, _few(search), precision)
    if precision != "auto" or not form.bfloat16:
        return form
    sample = search.take(1024)
    plain = fastest_form(model, task, _few(search), "float32")
    exact = _measure(model, task, Batches(sample, size, model, plain))
    quick = _measure(model, task, Batches(sample, size, model, form))
    agrees = abs(quick[0] - exact[0]) <= TOLERANCE and abs(quick[1] - exact[1]) <= TOLERANCE * max(
        abs(exact[1]), TOLERANCE
    )
    return form if agrees else plain


def _few(split: Split) -> Batch:
    return next(iter(split.take(2).batches(2)))
