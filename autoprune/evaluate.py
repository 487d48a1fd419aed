"""Scoring plans: slice, repair, recompute batch statistics, run the search split held in memory."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._pytree import tree_leaves, tree_map

from autoprune.data import Split
from autoprune.execution import (
    Form,
    Precision,
    device_of,
    fastest_form,
    forward,
    laid_out,
    mode,
    move,
)
from autoprune.factories import blamed
from autoprune.folding import find_foldable, folded
from autoprune.problem import Evaluation
from autoprune.ranking import Ranking
from autoprune.slicing import Slicer
from autoprune.structure.table import Structure
from autoprune.task import Batch, Task

HELD = 1 << 30
"""Bytes of batches held ready per split; of a larger one batches are made anew every time."""

CPU_BATCH, BATCH = 128, 1024
"""Samples per forward pass: few on a CPU, whose cache has to hold the activations."""

TOLERANCE = 0.01
"""Difference of score, and relative difference of loss, within which bfloat16 is exact enough."""

_CODE_WANTS_MULTIPLES = "if its code wants multiples of some number, pass that: --align 4"


class Evaluator:
    """Scores plans of one model, which is never changed; the same plan always scores the same.

    ``search`` is what plans are scored on, ``calibration`` what batch statistics are recomputed on:
    256 samples are enough, and as many cost 1.3 times what scoring them costs. ``precision`` is
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
        self.ranking, self.task = ranking, task
        self._slicer = Slicer(model, structure)
        net = self._slicer({})
        size = batch_size or (CPU_BATCH if device_of(net).type == "cpu" else BATCH)
        self.form = _exact_enough_form(net, task, search, precision, size)
        self._search = _Batches(search, size, net, self.form)
        self._calibration = _Batches(calibration, size, net, self.form, seed=0)
        self._pairs = find_foldable(net, task, move(_few(search), device_of(net)))

    def __call__(self, plan: Mapping[str, int]) -> Evaluation:
        """Score ``plan`` on the search split: mean score, mean loss, seconds taken.

        Raises UsageError if the model's code fails at this size.
        """
        start = time.perf_counter()
        with blamed("the network does not run on fewer units", _CODE_WANTS_MULTIPLES):
            net = self._slicer(self.ranking.kept(plan), self.ranking.weights(plan))
            with laid_out(net, self.form):
                _recompute(net, self.task, self._calibration)
                with folded(self._pairs):
                    score, loss = _measure(net, self.task, self._search)
        return Evaluation(score, loss, time.perf_counter() - start)


def recalibrate(model: nn.Module, calibration: Split, task: Task, *, batch_size: int = 128) -> None:
    """Recompute the running statistics of ``model``'s batch norms, in place, in float32.

    They become the plain average over the batches of ``calibration`` (Li et al. 2020, EagleEye,
    arXiv:2007.02491, section 3.2), each batch normalised by its own statistics. Modes and momenta
    are restored. Models without running statistics are left alone.
    """
    _recompute(model, task, _Batches(calibration, batch_size, model, Form(), seed=0))


class _Batches:
    """Batches of a split, ready to run: on the device, laid out, held if they are not too big."""

    def __init__(
        self, split: Split, size: int, model: nn.Module, form: Form, seed: int | None = None
    ) -> None:
        self._split, self._size, self._seed = split, size, seed
        self._device, self.form = device_of(model), form
        first = next(self._draw())
        bytes_each = sum(leaf.nbytes for leaf in tree_leaves(first)) / min(size, len(split))
        self._held = list(self._draw()) if bytes_each * len(split) <= HELD else None

    def __iter__(self) -> Iterator[Batch]:
        return iter(self._held) if self._held is not None else self._draw()

    def _draw(self) -> Iterator[Batch]:
        for batch in self._split.batches(self._size, seed=self._seed):
            yield tree_map(self._lay_out, move(batch, self._device))

    def _lay_out(self, leaf: Tensor) -> Tensor:
        if self.form.channels_last and leaf.ndim == 4 and leaf.is_floating_point():
            return leaf.contiguous(memory_format=torch.channels_last)
        return leaf


def _measure(model: nn.Module, task: Task, batches: _Batches) -> tuple[float, float]:
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


def _recompute(model: nn.Module, task: Task, batches: _Batches) -> None:
    norms = [
        module
        for module in model.modules()
        if isinstance(module, _BatchNorm) and module.running_mean is not None
    ]
    if not norms:
        return
    with mode(model, train=False), _averaging(norms), torch.no_grad():
        for batch in batches:
            forward(model, task, batch, batches.form)


@contextmanager
def _averaging(norms: list[_BatchNorm]) -> Iterator[None]:
    """Let batch norms average the statistics of all batches to come, from nothing."""
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.training = True
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


def _exact_enough_form(
    model: nn.Module, task: Task, search: Split, precision: Precision, size: int
) -> Form:
    form = fastest_form(model, task, _few(search), precision)
    if precision != "auto" or not form.bfloat16:
        return form
    sample = search.take(1024)
    plain = fastest_form(model, task, _few(search), "float32")
    exact = _measure(model, task, _Batches(sample, size, model, plain))
    quick = _measure(model, task, _Batches(sample, size, model, form))
    agrees = abs(quick[0] - exact[0]) <= TOLERANCE and abs(quick[1] - exact[1]) <= TOLERANCE * max(
        abs(exact[1]), TOLERANCE
    )
    return form if agrees else plain


def _few(split: Split) -> Batch:
    return next(iter(split.take(2).batches(2)))
