"""Tasks: the inputs in a batch, the loss to train with and the score to maximize.

Everything downstream uses a :class:`Task` and never looks inside a batch. Hence a network with
several inputs, a regression or a CTC reader is pruned like a classifier.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from autoprune.errors import UsageError
from autoprune.foundation.user_code import blamed

Batch = Any
"""A batch of a :class:`autoprune.data.Split`: a pytree of tensors, sample first."""


@runtime_checkable
class Task(Protocol):
    """Interface of a task (``--task``): any object with these four members."""

    @property
    def name(self) -> str:
        """Short name, for tables and the run's configuration."""

    def inputs(
        self, batch: Batch
    ) -> Tensor | dict[str, Any] | tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments of the model's forward.

        The only one, a tensor; or keyword arguments; or positional and keyword arguments.
        """

    def loss(self, outputs: Any, batch: Batch) -> Tensor:
        """Return the mean loss of the batch, a differentiable scalar."""

    def score(self, outputs: Any, batch: Batch) -> Tensor:
        """Return one score per sample, shape [B], in [0, 1], higher is better."""


@runtime_checkable
class PerSampleTask(Task, Protocol):
    """A task that also returns the loss of every sample.

    With it a search evaluates plans on a subsample chosen by importance; without it, on all of the
    search split. Nothing else needs it.
    """

    def losses(self, outputs: Any, batch: Batch) -> Tensor:
        """Return the loss of each sample, shape [B]; their mean is ``loss``."""


@runtime_checkable
class RatedTask(Task, Protocol):
    """A task that also reports rates beside its score, such as a character error rate.

    They are measured and printed, never optimized.
    """

    def rates(self, outputs: Any, batch: Batch) -> Mapping[str, tuple[float, float]]:
        """Return name -> (part, whole) for the batch.

        Both are summed over the split before they are divided.
        """


@runtime_checkable
class SplitScoredTask(Task, Protocol):
    """A task whose score is that of a whole split, no mean over samples: a mean over classes, say.

    ``score`` is then not asked, but by tools that know nothing of splits.
    """

    def evidence(self, outputs: Any, batch: Batch) -> Tensor:
        """Return what the score of a split needs to know of a batch, [rows, ...]."""

    def score_of(self, evidence: Tensor) -> float:
        """Return the score in [0, 1], from the rows of all batches of a split."""


@runtime_checkable
class ReadTask(Task, Protocol):
    """A task whose score is also known by another name and scale, such as a perplexity."""

    def readings(self, score: float) -> Mapping[str, float]:
        """Return name -> value of what a score stands for."""


def arguments(task: Task, batch: Batch) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the positional and keyword arguments that a task finds in a batch."""
    found = task.inputs(batch)
    if isinstance(found, Tensor):
        return (found,), {}
    if isinstance(found, Mapping):
        return (), dict(found)
    args, kwargs = found
    return tuple(args), kwargs


def example_inputs(task: Task, batch: Batch) -> Tensor | tuple[Any, ...] | dict[str, Any]:
    """Return the inputs in ``batch`` in the form that ``analyze`` takes."""
    with blamed(f"task {task.name!r} finds no inputs in a batch"):
        args, kwargs = arguments(task, batch)
    if args and kwargs:
        raise UsageError(
            f"task {task.name!r} mixes positional and keyword inputs",
            "let inputs() return only one kind",
        )
    if kwargs:
        return kwargs
    return args[0] if len(args) == 1 and isinstance(args[0], Tensor) else args


def read_outputs(task: Task) -> tuple[str, ...]:
    """Return the names of the model's outputs that a task reads: its ``outputs``, if it has any.

    They are keys, attributes or numbers, as ``logits``; the other outputs of a network may shrink.

    Raises UsageError if they are no names.
    """
    names = getattr(task, "outputs", ())
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise UsageError(
            f"the outputs of task {task.name!r} are {names!r:.60}, not names",
            "a tuple of names, as outputs = ('logits',)",
        )
    return tuple(names)


def metric(task: Task) -> str:
    """Return the name of a task's score: its ``metric``, else its name."""
    return getattr(task, "metric", None) or f"{task.name} score"
