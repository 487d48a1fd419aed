"""Tasks: the inputs in a batch, the loss to train with and the score to maximize.

Everything downstream uses a :class:`Task` and never looks inside a batch. Hence a network with
several inputs, a regression or a CTC reader is pruned like a classifier.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from torch import Tensor
from torch.nn.functional import cross_entropy

from autoprune.data.ctc import CTC
from autoprune.errors import UsageError
from autoprune.foundation import trust
from autoprune.foundation.user_code import blamed, call, is_factory, load, refuse_malformed

Batch = Any
"""A batch of a :class:`autoprune.data.Split`: a pytree of tensors, sample first."""

METRICS = {"classification": "accuracy", "ctc": "sequence accuracy"}

LABEL_KEYS = ("labels", "label", "targets", "target", "y")
"""Keys under which a dict batch may hold its labels, first match wins."""


@runtime_checkable
class Task(Protocol):
    """Interface of a task (``--task``): any object with these four members."""

    @property
    def name(self) -> str:
        """Short name, for tables and the run's configuration."""

    def inputs(self, batch: Batch) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the positional and keyword arguments of the model's forward."""

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


@dataclass(frozen=True)
class Classification:
    """Task of choosing one class of several: cross-entropy and top-1 accuracy.

    A batch is a tuple whose last element holds the labels (int64 [B]) and whose other elements are
    the model's positional inputs, or a dict with the labels under one of ``LABEL_KEYS`` and keyword
    inputs under the other keys. Outputs are logits [B, classes, ...], alone, first in a tuple, or
    under ``logits``. With label smoothing the loss is that of Szegedy et al. 2016, section 7.
    """

    label_smoothing: float = 0.0

    @property
    def name(self) -> str:
        """Short name."""
        return "classification"

    def inputs(self, batch: Batch) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return everything but the labels."""
        if isinstance(batch, Mapping):
            key = _label_key(batch)
            return (), {name: value for name, value in batch.items() if name != key}
        return tuple(batch[:-1]), {}

    def labels(self, batch: Batch) -> Tensor:
        """Return the labels of the batch."""
        labels = batch[_label_key(batch)] if isinstance(batch, Mapping) else batch[-1]
        if not isinstance(labels, Tensor):
            raise UsageError(
                f"the labels of a batch are {type(labels).__name__}, not a tensor",
                "classification expects (inputs, labels)",
            )
        return labels if labels.is_floating_point() else labels.long()

    def loss(self, outputs: Any, batch: Batch) -> Tensor:
        """Return the mean cross-entropy, computed in float32."""
        return cross_entropy(
            logits(outputs).float(), self.labels(batch), label_smoothing=self.label_smoothing
        )

    def losses(self, outputs: Any, batch: Batch) -> Tensor:
        """Return the cross-entropy of each sample, [B] (the mean over positions, if any)."""
        labels = self.labels(batch)
        losses = cross_entropy(
            logits(outputs).float(), labels, label_smoothing=self.label_smoothing, reduction="none"
        ).flatten(1 if labels.ndim > 1 else 0)
        return losses if losses.ndim == 1 else losses.mean(1)

    def score(self, outputs: Any, batch: Batch) -> Tensor:
        """Return 1 for a sample classified correctly, else 0 (the mean over positions, if any)."""
        correct = (logits(outputs).argmax(1) == self.labels(batch)).float()
        return correct.reshape(len(correct), -1).mean(1)


def logits(outputs: Any) -> Tensor:
    """Return the logits in the outputs of a classifier; raise UsageError if there are none."""
    if isinstance(outputs, Mapping) and "logits" in outputs:
        outputs = outputs["logits"]
    elif hasattr(outputs, "logits"):
        outputs = outputs.logits
    elif isinstance(outputs, (tuple, list)) and outputs:
        outputs = outputs[0]
    if not isinstance(outputs, Tensor):
        raise UsageError(
            f"the model returns {type(outputs).__name__}, not class logits",
            "bring a task of your own: --task file.py:function",
        )
    return outputs


def example_inputs(task: Task, batch: Batch) -> Tensor | tuple[Any, ...] | dict[str, Any]:
    """Return the inputs in ``batch`` in the form that ``analyze`` takes."""
    with blamed(f"task {task.name!r} finds no inputs in a batch"):
        args, kwargs = task.inputs(batch)
    if args and kwargs:
        raise UsageError(
            f"task {task.name!r} mixes positional and keyword inputs",
            "let inputs() return only one kind",
        )
    if kwargs:
        return kwargs
    return args[0] if len(args) == 1 and isinstance(args[0], Tensor) else args


def resolve_task(spec: object) -> Task:
    """Return the task that ``spec`` is or names: classification, ctc, ``file.py:function``.

    Raises UsageError if it names nothing, or something that is not a task.
    """
    if not isinstance(spec, str):
        return check_task(spec)
    for known in (Classification(), CTC()):
        if spec == known.name:
            return known
    if not is_factory(spec):
        refuse_malformed(spec)
        raise UsageError(f"unknown task {spec!r}", "classification, ctc, or file.py:function")
    function, factory = load(spec)
    trust.allow(factory)
    return check_task(call(factory.name, function))


def check_task(candidate: object) -> Task:
    """Return ``candidate`` if it is a task; raise UsageError naming what it lacks."""
    wanted = ("name", "inputs", "loss", "score")
    missing = [member for member in wanted if not hasattr(candidate, member)]
    missing += [
        f"{member}()"
        for member in wanted[1:]
        if member not in missing and not callable(getattr(candidate, member))
    ]
    if missing or not isinstance(candidate, Task):
        raise UsageError(
            f"{type(candidate).__name__} is not a task: it lacks {', '.join(missing)}",
            "a task has name, inputs(batch), loss(outputs, batch) and score(outputs, batch)",
        )
    return candidate


def metric(task: Task) -> str:
    """Return the name of a task's score, by default made from the name of the task."""
    return METRICS.get(task.name, f"{task.name} score")


def _label_key(batch: Mapping[str, Any]) -> str:
    for key in LABEL_KEYS:
        if key in batch:
            return key
    raise UsageError(
        f"no labels in a batch with the keys {', '.join(map(str, batch))}",
        f"name them {LABEL_KEYS[0]!r}, or bring a task of your own",
    )
