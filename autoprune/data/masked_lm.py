"""Masked language modeling: the tokens that were hidden."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from torch import Tensor

from autoprune.data.language_modeling import LanguageModeling, unpadded
from autoprune.errors import UsageError

NAME: Final = "masked-lm"


@dataclass(frozen=True)
class MaskedLanguageModeling(LanguageModeling):
    """Task of a language model that reads in both directions and names what is hidden.

    ``labels`` say what is: the token, and -100 where nothing is hidden.
    """

    @property
    def name(self) -> str:
        """Short name."""
        return NAME

    @property
    def metric(self) -> str:
        """Name of the score."""
        return "1 / perplexity of hidden tokens"

    def wanted(self, logits: Tensor, batch: Any) -> tuple[Tensor, Tensor]:
        """Return all logits and labels; raise UsageError for a batch that hides nothing."""
        if not isinstance(batch, Mapping) or "labels" not in batch:
            raise UsageError(
                "a batch says of no token that it is hidden",
                "write text:FILE,tokenizer=DIRECTORY,mask=0.15, or give labels, -100 elsewhere",
            )
        return logits, unpadded(batch["labels"], batch)
