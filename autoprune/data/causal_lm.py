"""Causal language modeling: the next token of every place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from torch import Tensor

from autoprune.data.language_modeling import LanguageModeling, unpadded
from autoprune.errors import UsageError

NAME: Final = "causal-lm"


@dataclass(frozen=True)
class CausalLanguageModeling(LanguageModeling):
    """Task of a language model that reads from left to right.

    Without ``labels`` the tokens of the text are wanted. A batch may also be a tensor of ids alone.
    """

    @property
    def name(self) -> str:
        """Short name."""
        return NAME

    def wanted(self, logits: Tensor, batch: Any) -> tuple[Tensor, Tensor]:
        """Return the logits of every place but the last, and the tokens that follow."""
        if isinstance(batch, Tensor):
            return logits[:, :-1], batch[:, 1:]
        if "decoder_input_ids" in batch:
            raise UsageError(
                "pairs of texts are for a model that reads one and says the other",
                "pass --task seq2seq-lm",
            )
        labels = unpadded(batch["labels"] if "labels" in batch else batch["input_ids"], batch)
        return logits[:, :-1], labels[:, 1:]
