"""Class labels in samples, and those that a data set declares beside them."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Subset

from autoprune.data.randomness import vars_of

INTEGERS: Final = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)

_DECLARED: Final = ("targets", "labels")
"""Attributes of a data set that hold the label of every row (torchvision's convention first)."""


def class_labels(content: Any) -> Tensor | None:
    """Return the labels of (inputs..., integers [N]) content, None if it has another form."""
    if not isinstance(content, tuple) or len(content) < 2:
        return None
    labels = content[-1]
    if not isinstance(labels, Tensor) or labels.ndim != 1 or labels.dtype not in INTEGERS:
        return None
    return labels


def declared_labels(dataset: Any) -> Tensor | None:
    """Return what a data set says the labels of its rows are, int64 [N]; None if it says nothing.

    It need not be what the samples hold: a transform of labels may lie between.
    """
    if type(dataset) is Subset:
        inner = declared_labels(dataset.dataset)
        return None if inner is None else inner[torch.as_tensor(list(dataset.indices))]
    for name in _DECLARED:
        try:
            values, count = np.asarray(vars_of(dataset).get(name)), len(dataset)
        except (TypeError, ValueError):
            continue
        if values.shape == (count,) and np.issubdtype(values.dtype, np.integer):
            return torch.from_numpy(values.astype(np.int64))
    return None
