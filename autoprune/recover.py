"""One training loop: to train from scratch, to fine-tune what pruning left, and for tickets."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import kl_div, log_softmax

from autoprune.data import Split
from autoprune.errors import AutopruneError, UsageError
from autoprune.execution import (
    Precision,
    device_of,
    fastest_form,
    forward,
    laid_out,
    mode,
    move,
)
from autoprune.factories import blamed
from autoprune.soundness import unsound
from autoprune.task import Batch, Classification, Task, logits
from autoprune.training import FitConfig

__all__ = ["Diverged", "FitConfig", "Score", "fit", "measure"]


class Score(NamedTuple):
    """Mean score in [0, 1] and mean loss over a split."""

    score: float
    loss: float


Step = Callable[[int, int, float], None]
"""Called with (steps done, steps in all, loss of this step)."""

Epoch = Callable[[int, int, float], None]
"""Called with (epochs done, epochs in all, mean loss of this epoch)."""


def fit(
    model: nn.Module,
    split: Split,
    task: Task,
    config: FitConfig,
    *,
    teacher: nn.Module | None = None,
    masks: Mapping[str, Tensor] | None = None,
    on_step: Step | None = None,
    on_epoch: Epoch | None = None,
) -> None:
    """Train ``model`` in place, on the device it is on.

    The same seed gives the same weights, to the last bit on a CPU with as many threads.

    ``masks`` maps parameter names to bool tensors of their shape, False where a weight is pruned:
    pruned weights, their gradients and their momenta are exactly zero throughout. ``on_step`` may
    measure the model; its modes and its random numbers are left as they were. ``teacher`` adds
    the distillation loss of Hinton et al. 2015 (section 2), with weight ``config.distill``.
    Train or eval mode of every module is restored.

    Raises UsageError for a request that cannot be carried out, and Diverged if the loss or a
    weight becomes NaN or infinite; the model is then as it was after the last good epoch.
    """
    run = _Run(model, split, task, config, teacher, masks or {})
    good = run.snapshot()
    with run.context():
        for epoch in run.epochs:
            try:
                mean = run.epoch(epoch, on_step)
            except Diverged as error:
                run.restore(good)
                raise Diverged(
                    f"{error} in step {run.step} of {run.total}",
                    "the model is as after the last good epoch; try a lower learning rate",
                ) from None
            good = run.snapshot()
            if on_epoch:
                on_epoch(epoch + 1, run.epochs.stop, mean)


def measure(
    model: nn.Module,
    split: Split,
    task: Task,
    batch_size: int = 512,
    *,
    precision: Precision = "float32",
) -> Score:
    """Return the mean score and mean loss of ``model`` over ``split``, in eval mode.

    Train or eval mode of every module is restored.
    """
    device = device_of(model)
    form = fastest_form(model, task, _first(split), precision)
    score, loss = 0.0, 0.0
    with torch.inference_mode(), mode(model, train=False), laid_out(model, form):
        for batch in split.batches(batch_size):
            moved = move(batch, device)
            outputs = forward(model, task, moved, form)
            scores = task.score(outputs, moved)
            score += float(scores.double().sum())
            loss += float(task.loss(outputs, moved)) * len(scores)
    return Score(score / len(split), loss / len(split))


class Diverged(AutopruneError):
    """The loss or a weight became NaN or infinite in training."""


class _Run:
    """The state of one call of :func:`fit`."""

    def __init__(
        self,
        model: nn.Module,
        split: Split,
        task: Task,
        config: FitConfig,
        teacher: nn.Module | None,
        masks: Mapping[str, Tensor],
    ) -> None:
        self.model, self.split, self.config = model, split, config
        self.teacher = teacher or nn.Identity()
        self.task = _smoothed(task, config)
        if config.distill and teacher is None:
            raise UsageError("distillation needs a teacher", "pass teacher=, or distill=0")
        self.device = device_of(model)
        self.form = fastest_form(model, task, _first(split), config.precision)
        self.optimizer = config.start(model)
        self.masked = _masked(model, masks)
        self.step, self.total = config.first, config.length(len(split))

    @property
    def epochs(self) -> range:
        """Epochs to train, the last and, after an earlier start, the first of them in part."""
        size = self.config.epoch(len(self.split))
        return range(self.config.first // size, math.ceil(self.total / size))

    @contextmanager
    def context(self) -> Iterator[None]:
        """Modes, seeds and arithmetic of training, undone at the end."""
        devices = [self.device] if self.device.type == "cuda" else []
        with (
            torch.random.fork_rng(devices),
            mode(self.model, train=True),
            mode(self.teacher, train=False),
            laid_out(self.model, self.form),
            laid_out(self.teacher, self.form),
        ):
            torch.manual_seed(self.config.seed)
            with torch.no_grad():
                # Multiplied by zeros and ones laid out as the weights, 20 times as fast as filling.
                self.masked = [
                    (parameter, torch.zeros_like(parameter).copy_(kept))
                    for parameter, kept in self.masked
                ]
                for parameter, kept in self.masked:
                    parameter.mul_(kept)
            yield

    def epoch(self, epoch: int, on_step: Step | None) -> float:
        """Train what is left of one epoch and return its mean loss."""
        seed = int(np.random.SeedSequence([self.config.seed, epoch]).generate_state(1)[0])
        size, augment, losses = self.config.batch_size, self.config.augment, []
        begin = epoch * self.config.epoch(len(self.split))
        batches = self.split.batches(size, seed=seed, augment=augment)
        for batch in islice(batches, self.step - begin, self.total - begin):
            with blamed(f"training fails in step {self.step + 1}"):
                losses.append(self._advance(move(batch, self.device)))
            if on_step:
                on_step(self.step, self.total, losses[-1])
        name = unsound(self.model)
        if name is not None:
            raise Diverged(f"{name} became NaN or infinite")
        return sum(losses) / len(losses)

    def snapshot(self) -> dict[str, Tensor]:
        """Copy parameters and buffers."""
        return {name: value.detach().clone() for name, value in self.model.state_dict().items()}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go back to a snapshot."""
        self.model.load_state_dict(state)

    def _advance(self, batch: Batch) -> float:
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.rate(self.step / self.total)
        loss = self._loss(batch)
        value = loss.item()
        self.step += 1
        if not math.isfinite(value):
            raise Diverged(f"the loss became {value}")
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        for parameter, kept in self.masked:
            if parameter.grad is not None:
                # With no gradient from the first step on, SGD and AdamW leave a zero weight and its
                # momenta at zero, decay included.
                parameter.grad.mul_(kept)
        self.optimizer.step()
        return value

    def _loss(self, batch: Batch) -> Tensor:
        outputs = forward(self.model, self.task, batch, self.form)
        loss = self.task.loss(outputs, batch)
        if not self.config.distill:
            return loss
        with torch.no_grad():
            target = forward(self.teacher, self.task, batch, self.form)
        heat, share = self.config.temperature, self.config.distill
        student, taught = (
            log_softmax(logits(values).float() / heat, dim=1) for values in (outputs, target)
        )
        distance = kl_div(student, taught, reduction="batchmean", log_target=True)
        return (1 - share) * loss + share * heat**2 * distance


def _first(split: Split) -> Batch:
    return next(split.take(2).batches(2))


def _smoothed(task: Task, config: FitConfig) -> Task:
    if not config.label_smoothing:
        return task
    if not isinstance(task, Classification):
        raise UsageError(f"task {task.name!r} has no label smoothing", "set label_smoothing to 0")
    return replace(task, label_smoothing=config.label_smoothing)


def _masked(model: nn.Module, masks: Mapping[str, Tensor]) -> list[tuple[nn.Parameter, Tensor]]:
    """Pair every masked parameter with its mask."""
    parameters = dict(model.named_parameters(remove_duplicate=False))
    pairs = []
    for name, mask in masks.items():
        if name not in parameters:
            raise UsageError(f"the mask of {name!r} fits no parameter of the model")
        parameter = parameters[name]
        if mask.shape != parameter.shape:
            raise UsageError(
                f"the mask of {name!r} has shape {list(mask.shape)},"
                f" the parameter {list(parameter.shape)}"
            )
        pairs.append((parameter, mask.bool()))
    return pairs
