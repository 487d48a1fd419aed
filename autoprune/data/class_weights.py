"""Weights of classes in the loss (``--class-weights``), for classes that are rare or matter more.

The loss of a sample (pixel, token) counts as often as the weight of its class says. Weights are
scaled so that their mean over the training labels is 1: learning rates keep their meaning.
``balanced`` gives every class the same total, w_c = n / (k n_c) for n labels of k classes, n_c of
class c (King and Zeng 2001, "Logistic regression in rare events data", section 4.2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor

from autoprune.errors import UsageError

BALANCED: Final = "balanced"
_HINT: Final = "balanced, or a number above 0 for each class, as in 1/1/4"


@dataclass(frozen=True)
class ClassWeights:
    """Weights of classes: ``given``, and ``values`` once they are scaled by training labels.

    ``given``: numbers by class; empty for weights that balance the classes.
    """

    given: tuple[float, ...] = ()
    values: tuple[float, ...] = ()

    @classmethod
    def parse(cls, text: str) -> ClassWeights:
        """Read ``balanced``, or numbers joined by slashes or commas; UsageError for others."""
        if text == BALANCED:
            return cls()
        try:
            given = tuple(float(part) for part in text.replace(",", "/").split("/"))
        except ValueError:
            raise UsageError(f"cannot read the class weights {text!r}", _HINT) from None
        if len(given) < 2 or not all(0 < value < math.inf for value in given):
            raise UsageError(f"{text!r} are no weights of classes", _HINT)
        return cls(given)

    @property
    def option(self) -> str:
        """Text that :meth:`parse` reads, as an option of a task."""
        given = "/".join(repr(value).removesuffix(".0") for value in self.given)
        return f"class_weights={given or BALANCED}"

    def scaled(self, counts: Tensor) -> ClassWeights:
        """Return the weights with values; ``counts``: labels of each class in training, [classes].

        Raises UsageError if there are more classes than weights.
        """
        if self.given and len(self.given) < len(counts):
            raise UsageError(
                f"{len(self.given)} class weights were given for {len(counts)} classes", _HINT
            )
        there = counts > 0
        if self.given:
            values = torch.tensor(self.given, dtype=torch.float64)
            counts = torch.nn.functional.pad(counts, (0, len(values) - len(counts)))
            values = values * counts.sum() / (values * counts).sum()
        else:
            values = counts.sum() / (there.sum() * counts.clamp_min(1))
            values = torch.where(there, values, 1.0)
        return replace(self, values=tuple(values.tolist()))

    def of(self, labels: Tensor) -> Tensor:
        """Return the weight of each label, float32 of its shape; 1 for classes never trained on.

        Raises UsageError before :meth:`scaled`.
        """
        if not self.values:
            raise UsageError("class weights need the training labels", "scale them first")
        values = torch.tensor(self.values, device=labels.device, dtype=torch.float32)
        inside = (labels >= 0) & (labels < len(values))
        return torch.where(inside, values[labels.clamp(0, len(values) - 1)], 1.0)
