"""Scores of classifications whose classes count alike, however rare they are (``--score``).

Each is a mean over classes of a ratio of counts, pooled over all samples, pixels or tokens of a
split. A class that the split lacks (its denominator is 0) is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

from autoprune.errors import UsageError

ACCURACY: Final = "accuracy"

Ratio = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
"""From the counts of hits, labels and guesses of each class to numerators and denominators."""

POOLED: Final[dict[str, Ratio]] = {
    # Mean recall (Brodersen et al. 2010, "The balanced accuracy and its posterior distribution").
    "balanced-accuracy": lambda hits, labels, guesses: (hits, labels),
    # Mean of the F1 score, 2 TP / (2 TP + FP + FN) (Opitz and Burst 2019, arXiv:1911.03347, F_1).
    "macro-f1": lambda hits, labels, guesses: (2 * hits, labels + guesses),
    # Mean Jaccard index, TP / (TP + FP + FN) (Everingham et al. 2015, "Pascal VOC", section 4.3).
    "mean-iou": lambda hits, labels, guesses: (hits, labels + guesses - hits),
}


def find_score(name: str) -> Ratio | None:
    """Return the ratio of the score ``name``, None for accuracy; UsageError if there is none."""
    if name != ACCURACY and name not in POOLED:
        raise UsageError(f"unknown score {name!r}", ", ".join((ACCURACY, *POOLED)))
    return POOLED.get(name)


def class_counts(
    guesses: Tensor, labels: Tensor, known: Tensor | None, classes: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Count hits, labels and guesses of every class in every sample, float32 [B, classes] each.

    ``guesses`` and ``labels``: int64 [B, ...], classes from 0; only where ``known``, if given.
    """
    samples = torch.arange(len(labels), device=labels.device).view(-1, *[1] * (labels.ndim - 1))
    known = torch.ones_like(labels, dtype=torch.bool) if known is None else known
    offsets = (samples * classes).expand_as(labels)

    def count(values: Tensor, where: Tensor) -> Tensor:
        cells = torch.bincount((offsets + values)[where], minlength=len(labels) * classes)
        return cells.view(len(labels), classes).float()

    return (
        count(labels, known & (guesses == labels)),
        count(labels, known),
        count(guesses, known),
    )


def mean_ratio(parts: Tensor, wholes: Tensor) -> float:
    """Return the mean of parts / wholes over the classes that have a whole, [classes] each."""
    there = wholes > 0
    return float((parts[there] / wholes[there]).mean()) if bool(there.any()) else 0.0
