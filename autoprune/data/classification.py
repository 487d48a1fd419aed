"""Classification: the default task, whose samples, pixels or tokens each have a class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from autoprune.data.class_scores import ACCURACY, POOLED, class_counts, mean_ratio
from autoprune.data.class_weights import ClassWeights
from autoprune.data.task import Batch
from autoprune.errors import UsageError

KIND: Final = "classification"

IGNORED = (-100, 255)
"""Labels of what is to be ignored: PyTorch's, and that of masks stored as bytes (Pascal VOC,
Cityscapes). 255 is a class like any other for networks with more than 255 classes."""

LABEL_KEYS = ("labels", "label", "targets", "target", "y")
"""Keys under which a dict batch may hold its labels, first match wins."""


@dataclass(frozen=True)
class Classification:
    """Task of choosing one class of several: cross-entropy and top-1 accuracy.

    A batch is a tuple whose last element holds the labels (int64 [B]) and whose other elements are
    the model's positional inputs, or a dict with the labels under one of ``LABEL_KEYS`` and keyword
    inputs under the other keys. Outputs are logits [B, classes, ...], alone, first in a tuple, or
    under ``logits``. Positions whose label is one of ``IGNORED`` count nowhere. With label
    smoothing the loss is that of Szegedy et al. 2016, section 7.

    ``class_weights``: weight of each class in the loss; :class:`ClassWeights` make them.
    """

    label_smoothing: float = 0.0
    class_weights: ClassWeights | None = None

    @property
    def name(self) -> str:
        """Name by which :func:`autoprune.data.named_task.resolve_task` finds the task again."""
        return KIND if self.class_weights is None else f"{KIND},{self.class_weights.option}"

    @property
    def metric(self) -> str:
        """Name of the score."""
        return ACCURACY

    def inputs(self, batch: Batch) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return everything but the labels."""
        if isinstance(batch, Mapping):
            key = _label_key(batch)
            return (), {name: value for name, value in batch.items() if name != key}
        return tuple(batch[:-1]), {}

    def logits(self, outputs: Any) -> Tensor:
        """Return the logits in the outputs, [B, classes, ...]."""
        return logits(outputs)

    def labels(self, batch: Batch) -> Tensor:
        """Return the labels of the batch."""
        labels = batch[_label_key(batch)] if isinstance(batch, Mapping) else batch[-1]
        if not isinstance(labels, Tensor):
            raise UsageError(
                f"the labels of a batch are {type(labels).__name__}, not a tensor",
                "classification expects (inputs, labels)",
            )
        return labels if labels.is_floating_point() else labels.long()

    def labeled(self, outputs: Any, batch: Batch) -> Tensor | None:
        """Return where labels name a class, bool [B, ...]; None where all do.

        The other labels are one of ``IGNORED``: such positions count in no loss and no score.
        """
        labels = self.labels(batch)
        known = (labels >= 0) & (labels < self.logits(outputs).shape[1])
        return None if bool(known.all()) else known

    def loss(self, outputs: Any, batch: Batch) -> Tensor:
        """Return the mean cross-entropy over what is labeled, computed in float32."""
        known = self.labeled(outputs, batch)
        if known is not None:
            return self._each(outputs, batch, known).sum() / known.sum().clamp_min(1)
        if self.class_weights is not None:
            return self._each(outputs, batch, known).mean()
        return cross_entropy(
            self.logits(outputs).float(), self.labels(batch), label_smoothing=self.label_smoothing
        )

    def losses(self, outputs: Any, batch: Batch) -> Tensor:
        """Return the cross-entropy of each sample, [B] (the mean over labeled positions)."""
        known = self.labeled(outputs, batch)
        return _mean_by_sample(self._each(outputs, batch, known), known)

    def score(self, outputs: Any, batch: Batch) -> Tensor:
        """Return 1 for a sample classified correctly, else 0, [B].

        The mean over labeled positions, if there are positions; 1 for a sample without any label.
        """
        correct = (self.logits(outputs).argmax(1) == self.labels(batch)).float()
        known = self.labeled(outputs, batch)
        if known is None:
            return _mean_by_sample(correct, None)
        unlabeled = ~known.reshape(len(known), -1).any(1)
        return _mean_by_sample(correct * known, known) + unlabeled

    def _each(self, outputs: Any, batch: Batch, known: Tensor | None) -> Tensor:
        """Cross-entropy of each position, [B, ...], weighted; 0 where it is not labeled."""
        labels = self.labels(batch)
        if known is not None:
            labels = labels.masked_fill(~known, IGNORED[0])
        losses = cross_entropy(
            self.logits(outputs).float(),
            labels,
            label_smoothing=self.label_smoothing,
            reduction="none",
            ignore_index=IGNORED[0],
        )
        return losses if self.class_weights is None else losses * self.class_weights.of(labels)


@dataclass(frozen=True)
class PooledClassification(Classification):
    """Classification scored by a mean over classes.

    ``scored_by``: a name in :data:`autoprune.data.class_scores.POOLED`.
    """

    scored_by: str = "balanced-accuracy"

    @property
    def name(self) -> str:
        """Name by which :func:`autoprune.data.named_task.resolve_task` finds the task again."""
        return f"{super().name},score={self.scored_by}"

    @property
    def metric(self) -> str:
        """Name of the score."""
        return self.scored_by.replace("-", " ")

    def evidence(self, outputs: Any, batch: Batch) -> Tensor:
        """Return numerators and denominators of every class in each sample, [B, 2, classes]."""
        scores = self.logits(outputs)
        counts = class_counts(
            scores.argmax(1), self.labels(batch), self.labeled(outputs, batch), scores.shape[1]
        )
        return torch.stack(POOLED[self.scored_by](*counts), dim=1)

    def score_of(self, evidence: Tensor) -> float:
        """Return the mean over classes of summed numerators / summed denominators."""
        return mean_ratio(*evidence.double().sum(0))


def _mean_by_sample(values: Tensor, counted: Tensor | None) -> Tensor:
    """Mean over the counted positions of each sample, [B]; 0 where none counts."""
    flat = values.reshape(len(values), -1)
    if counted is None:
        return flat.mean(1)
    return flat.sum(1) / counted.reshape(len(counted), -1).sum(1).clamp_min(1)


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


def _label_key(batch: Mapping[str, Any]) -> str:
    for key in LABEL_KEYS:
        if key in batch:
            return key
    raise UsageError(
        f"no labels in a batch with the keys {', '.join(map(str, batch))}",
        f"name them {LABEL_KEYS[0]!r}, take --task causal-lm for text, or bring a task of your own",
    )
