"""Classification of tokens: names in a text, parts of speech."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from torch import Tensor

from autoprune.data.classification import IGNORED, Classification, logits
from autoprune.data.task import Batch
from autoprune.errors import UsageError

NAME: Final = "token-classification"


@dataclass(frozen=True)
class TokenClassification(Classification):
    """Task of choosing a class for every token: cross-entropy and accuracy over tokens.

    A batch is a mapping: ``input_ids`` [B, T], perhaps ``attention_mask`` [B, T], and ``labels``
    [B, T]. Padding and labels of -100 count nowhere. Outputs are logits [B, T, classes].
    """

    @property
    def name(self) -> str:
        """Short name."""
        return NAME

    @property
    def metric(self) -> str:
        """Name of the score."""
        return "accuracy of tokens"

    def labels(self, batch: Batch) -> Tensor:
        """Return the labels, -100 for padding."""
        labels = super().labels(batch)
        mask = batch.get("attention_mask") if isinstance(batch, Mapping) else None
        return labels if mask is None else labels.masked_fill(mask == 0, IGNORED[0])

    def logits(self, outputs: Any) -> Tensor:
        """Return the logits with classes second, [B, classes, T]."""
        found = logits(outputs)
        if found.dim() != 3:
            raise UsageError(
                f"the model returns {list(found.shape)}, not logits [samples, places, classes]",
                "add ,head=token-classification to hf:DIRECTORY",
            )
        return found.transpose(1, 2)
