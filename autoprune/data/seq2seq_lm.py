"""Language modeling of encoder-decoders: the next token of a target, given a text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from torch import Tensor

from autoprune.data.language_modeling import IGNORED, LanguageModeling
from autoprune.errors import UsageError

NAME: Final = "seq2seq-lm"


@dataclass(frozen=True)
class Seq2SeqLanguageModeling(LanguageModeling):
    """Task of a model that reads a text and says another, fed what it should have said so far.

    A batch holds ``input_ids`` [B, S], ``decoder_input_ids`` and ``labels`` [B, T], -100 for what
    does not count, and perhaps ``attention_mask`` [B, S] and ``decoder_attention_mask`` [B, T].
    """

    @property
    def name(self) -> str:
        """Short name."""
        return NAME

    def wanted(self, logits: Tensor, batch: Any) -> tuple[Tensor, Tensor]:
        """Return all logits and labels; raise UsageError for a batch without targets."""
        lacking = {"decoder_input_ids", "labels"} - set(batch if isinstance(batch, Mapping) else ())
        if lacking:
            raise UsageError(
                f"a batch says nothing of {min(lacking)}",
                "write text:FILE.csv,tokenizer=DIRECTORY, with columns 'text' and 'target'",
            )
        labels: Tensor = batch["labels"]
        mask = batch.get("decoder_attention_mask")
        return logits, labels if mask is None else labels.masked_fill(mask == 0, IGNORED)
