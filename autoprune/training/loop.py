"""Training loop, used to train from scratch, to fine-tune pruned networks, and for tickets."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from itertools import islice

import torch
from torch import Tensor, nn

from autoprune.data import Samples
from autoprune.data.task import Batch, Task
from autoprune.errors import DamagedError, UsageError
from autoprune.foundation.schema import encode_fields
from autoprune.foundation.seeds import Seeds
from autoprune.foundation.user_code import blamed
from autoprune.networks.execution import (
    Form,
    device_of,
    fastest_form,
    forward,
    laid_out,
    mode,
    move,
    seed_generators,
)
from autoprune.networks.frozen import frozen_modules
from autoprune.networks.score import Score, first_samples, measure
from autoprune.runs.artifacts import START_OVER
from autoprune.structure.finite import first_nonfinite
from autoprune.training.checkpoint import (
    Checkpoint,
    State,
    below,
    identity,
    optimizer_state,
    restore_optimizer,
    under,
)
from autoprune.training.config import FitConfig, smoothed
from autoprune.training.distillation import distillation
from autoprune.training.distributed import Team, synchronized
from autoprune.training.ending import Diverged, Stopped
from autoprune.training.masked import masked_parameters
from autoprune.training.selection import Selected, Selection, Validate

__all__ = ["Diverged", "FitConfig", "Score", "fit", "measure"]

Lesson = Callable[[nn.Module, Batch, Form], Tensor]
"""Loss of a model on a batch, a scalar, in a form that its inputs are to be laid out in."""

OnStep = Callable[[int, int, float], None]
"""Called with (steps done, steps in all, loss of this step)."""

OnEpoch = Callable[[int, int, float], None]
"""Called with (epochs done, epochs in all, mean loss of this epoch); may raise Stopped."""


def fit(
    model: nn.Module,
    split: Samples,
    task: Task,
    config: FitConfig,
    *,
    teacher: nn.Module | None = None,
    lesson: Lesson | None = None,
    masks: Mapping[str, Tensor] | None = None,
    on_step: OnStep | None = None,
    on_epoch: OnEpoch | None = None,
    checkpoint: Checkpoint | None = None,
    validate: Validate | None = None,
    team: Team | None = None,
) -> Selected | None:
    """Train ``model`` in place, on the device it is on.

    With ``validate`` the model ends with the weights of least validation loss among those before
    the training and after every epoch, the earliest of equals: it never ends worse. Returns which
    they are; None without.

    The same seed gives the same weights, to the last bit on a CPU with as many threads. With a
    ``checkpoint`` a killed training continues from its last saved state, to the same weights;
    ``on_epoch`` is called for the earlier epochs again, ``on_step`` only for steps taken now. A
    state of another configuration, split or network is ignored.

    ``masks`` maps parameter names to bool tensors of their shape, False where a weight is pruned:
    pruned weights, their gradients and their momenta are exactly zero throughout. ``on_step`` may
    measure the model; its modes and its random numbers are left as they were. ``teacher`` adds
    the distillation loss of Hinton et al. 2015 (section 2), with weight ``config.distill``. A
    ``lesson`` is what the model learns in place of the task's loss; the teacher is then only put
    into evaluation mode and laid out as the model is.
    Train or eval mode of every module is restored. The processes of a ``team`` train together;
    only the leader passes what is called, and its checkpoint.

    Raises UsageError for a request that cannot be carried out, and Diverged if the loss or a
    weight becomes NaN or infinite; the model is then as it was after the last good epoch, with
    ``validate`` after the best one.
    """
    selection = Selection(validate) if validate else None
    run = _Run(model, split, task, config, teacher, masks or {}, selection, lesson, team)
    with run.context():
        with suppress(Stopped):
            run.train(on_step, on_epoch or (lambda *_: None), checkpoint)
        return selection.apply(model) if selection else None


class _Run:
    """State of one call of :func:`fit`."""

    def __init__(
        self,
        model: nn.Module,
        split: Samples,
        task: Task,
        config: FitConfig,
        teacher: nn.Module | None,
        masks: Mapping[str, Tensor],
        selection: Selection | None,
        lesson: Lesson | None,
        team: Team | None,
    ) -> None:
        self.model, self.split, self.config, self.selection = model, split, config, selection
        self.lesson, self.team = lesson, team
        self.teacher = nn.Identity() if teacher is None else teacher
        self.task = smoothed(task, config)
        if config.distill and teacher is None:
            raise UsageError("distillation needs a teacher", "pass teacher=, or distill=0")
        self.device = device_of(model)
        self.form = fastest_form(model, task, first_samples(split), config.precision, training=True)
        self.optimizer = config.start(model)
        self.masked = masked_parameters(model, masks)
        self.step, self.total = config.first, config.length(len(split))
        self.size = config.epoch(len(split))
        self.first_epoch, self.epochs = config.first // self.size, math.ceil(self.total / self.size)
        self.means: list[float] = []
        self.sum = 0.0
        self.good = self._weights()
        facts = encode_fields(config) | ({"selected": True} if selection else {})
        self.key = identity(facts, len(split), self.good)

    @contextmanager
    def context(self) -> Iterator[None]:
        """Set modes, random state and memory layout for training; restore them at the end."""
        devices = [self.device] if self.device.type == "cuda" else []
        with (
            torch.random.fork_rng(devices),
            mode(self.model, train=True),
            ExitStack() as frozen,
            mode(self.teacher, train=False),
            laid_out(self.model, self.form),
            laid_out(self.teacher, self.form),
        ):
            if self.team:
                frozen.enter_context(synchronized(self.model))
            for module in frozen_modules(self.model):  # their statistics stay as they are
                frozen.enter_context(mode(module, train=False))
            with torch.no_grad():
                # Multiplied by zeros and ones laid out as the weights, 20 times as fast as filling.
                self.masked = [
                    (parameter, torch.zeros_like(parameter).copy_(kept))
                    for parameter, kept in self.masked
                ]
                for parameter, kept in self.masked:
                    parameter.mul_(kept)
            yield

    def train(
        self, on_step: OnStep | None, on_epoch: OnEpoch, checkpoint: Checkpoint | None
    ) -> None:
        """Take all steps that are left."""
        if checkpoint:
            self.resume(checkpoint.load())
        if self.selection and not self.selection.begun:
            self.selection.consider(self.model)
        if self.team and self.team.launch.leads:
            self.team.begin(self.state())
        for number, mean in enumerate(self.means, start=self.first_epoch + 1):
            on_epoch(number, self.epochs, mean)
        while self.step < self.total:
            number = self.step // self.size + 1
            try:
                self.epoch(number - 1, on_step, checkpoint)
            except Diverged as error:
                self.restore()
                raise Diverged(
                    f"{error} in step {self.step} of {self.total}",
                    "the model is as after the last good epoch; try a lower learning rate",
                ) from None
            on_epoch(number, self.epochs, self.means[-1])
            if checkpoint and (checkpoint.due or self.step == self.total):
                checkpoint.save(self.state())

    def epoch(self, epoch: int, on_step: OnStep | None, checkpoint: Checkpoint | None) -> None:
        """Train the rest of one epoch, append its mean loss and keep the weights as good."""
        seed = Seeds(self.config.seed).epoch(epoch)
        begin = epoch * self.size
        end = min(begin + self.size, self.total)
        how, done = self.config, self.step - begin
        batches = self.split.batches(how.batch_size, seed=seed, augment=how.augment, first=done)
        for batch in islice(batches, end - self.step):
            with blamed(f"training fails in step {self.step + 1}"):
                loss = self._advance(move(batch, self.device))
            self.sum += loss
            if on_step:
                on_step(self.step, self.total, loss)
            if checkpoint and self.step < end and checkpoint.due:
                checkpoint.save(self.state())
        name = first_nonfinite(self.model)
        if name is not None:
            raise Diverged(f"{name} became NaN or infinite")
        self.means.append(self.sum / (end - max(begin, self.config.first)))
        self.sum, self.good = 0.0, self._weights()
        if self.selection:
            self.selection.consider(self.model)

    def state(self) -> State:
        """Return all that the rest of the training depends on; at its end, only the weights."""
        state = {
            "key": self.key,
            "step": torch.tensor(self.step),
            "sum": torch.tensor(self.sum, dtype=torch.float64),
            "means": torch.tensor(self.means, dtype=torch.float64),
        }
        state |= under("model", self._weights())
        if self.selection:
            state |= self.selection.state()
        if self.step < self.total:
            state |= under("optimizer", optimizer_state(self.optimizer))
            if self.step % self.size:
                state |= under("good", self.good)
        return under("fit", state)

    def resume(self, state: State | None) -> None:
        """Continue from a state unless it is another training's; DamagedError if incomplete."""
        state = below("fit", state or {})
        if "key" not in state or not torch.equal(state["key"], self.key):
            return
        try:
            self.step, self.sum = int(state["step"]), float(state["sum"])
            self.means = state["means"].tolist()
            self.model.load_state_dict(below("model", state))
            self.good = below("good", state) or self._weights()
            restore_optimizer(self.optimizer, below("optimizer", state))
            if self.selection:
                self.selection.resume(state)
        except (KeyError, IndexError, ValueError, RuntimeError) as error:
            raise DamagedError(
                f"the state of the training is damaged: {error}", START_OVER
            ) from None

    def restore(self) -> None:
        """Go back to the weights after the last good epoch, or after the best one."""
        self.model.load_state_dict(self.good)
        if self.selection:
            self.selection.apply(self.model)

    def _weights(self) -> dict[str, Tensor]:
        """Copy parameters and buffers."""
        return {name: value.detach().clone() for name, value in self.model.state_dict().items()}

    def _advance(self, batch: Batch) -> float:
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.rate(self.step / self.total)
        seed_generators(Seeds(self.config.seed).step(self.step), self.device)
        value = self._backward(batch)
        self.step += 1
        if not math.isfinite(value):
            raise Diverged(f"the loss became {value}")
        for parameter, kept in self.masked:
            if parameter.grad is not None:
                # With no gradient from the first step on, SGD and AdamW leave a zero weight and its
                # momenta at zero, decay included.
                parameter.grad.mul_(kept)
        self.optimizer.step()
        return value

    def _backward(self, batch: Batch) -> float:
        """Set the gradients of a batch; return its loss."""
        self.optimizer.zero_grad()
        if self.team:
            return self.team.backward(self.model, batch, self._loss)
        loss = self._loss(batch)
        torch.autograd.backward(loss)
        return loss.item()

    def _loss(self, batch: Batch) -> Tensor:
        if self.lesson is not None:
            return self.lesson(self.model, batch, self.form)
        outputs = forward(self.model, self.task, batch, self.form)
        loss = self.task.loss(outputs, batch)
        if not self.config.distill:
            return loss
        with torch.no_grad():
            target = forward(self.teacher, self.task, batch, self.form)
        taught = distillation(outputs, target, batch, self.task, self.config.temperature)
        share = self.config.distill
        return (1 - share) * loss + share * taught
