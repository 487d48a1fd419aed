"""Language modeling: tokens that a model has to name, and what its surprise is called.

The score is 1 / perplexity, the geometric mean of the probabilities that a model gives to the
tokens that are wanted: in (0, 1], higher is better, and over all tokens of a split. Perplexity is
reported beside it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from autoprune.errors import UsageError

IGNORED: Final = -100
"""Label of a token that does not count, as the Trainer of transformers has it."""


@dataclass(frozen=True)
class LanguageModeling(ABC):
    """Task of naming tokens.

    A batch is a mapping as a tokenizer makes it: ``input_ids`` [B, T], perhaps ``attention_mask``
    [B, T], 0 for padding, and ``labels`` [B, T], -100 for what does not count. Outputs are logits
    [B, T, tokens], or an object or mapping with them as ``logits``.
    """

    outputs: tuple[str, ...] = ("logits",)

    @property
    def metric(self) -> str:
        """Name of the score."""
        return "1 / perplexity"

    @abstractmethod
    def wanted(self, logits: Tensor, batch: Any) -> tuple[Tensor, Tensor]:
        """Return the logits [B, T', tokens] of what is to be named, and that, [B, T']."""

    def inputs(self, batch: Any) -> dict[str, Any] | Tensor:
        """Return all but the labels."""
        if isinstance(batch, Tensor):
            return batch
        return {name: value for name, value in batch.items() if name != "labels"}

    def loss(self, outputs: Any, batch: Any) -> Tensor:
        """Return the mean over the samples of their losses."""
        return self.losses(outputs, batch).mean()

    def losses(self, outputs: Any, batch: Any) -> Tensor:
        """Return each sample's mean negative log-probability of a token, [B], in nats."""
        surprise, tokens = self.evidence(outputs, batch).unbind(1)
        return surprise / tokens.clamp(min=1)

    def score(self, outputs: Any, batch: Any) -> Tensor:
        """Return 1 / perplexity of each sample, [B]."""
        return torch.exp(-self.losses(outputs, batch))

    def evidence(self, outputs: Any, batch: Any) -> Tensor:
        """Return the negative log-probability of each sample's tokens, and their number, [B, 2]."""
        logits, tokens = self._choices(outputs, batch)
        surprise = cross_entropy(
            logits.float().transpose(1, 2), tokens, ignore_index=IGNORED, reduction="none"
        )
        return torch.stack([surprise.sum(1), (tokens != IGNORED).sum(1).float()], 1)

    def taught(self, outputs: Any, batch: Any) -> Tensor:
        """Return the logits of the tokens that count, [rows, tokens]: what a teacher softens."""
        logits, tokens = self._choices(outputs, batch)
        return logits[tokens != IGNORED]

    def score_of(self, evidence: Tensor) -> float:
        """Return 1 / perplexity over all tokens, of the rows of ``evidence``."""
        surprise, tokens = evidence.double().sum(0).tolist()
        return float(torch.exp(torch.tensor(-surprise / max(tokens, 1.0))))

    def readings(self, score: float) -> Mapping[str, float]:
        """Return the perplexity that a score stands for."""
        return {"perplexity": 1 / max(score, 1e-30)}

    def _choices(self, outputs: Any, batch: Any) -> tuple[Tensor, Tensor]:
        """Return logits and tokens that fit together; raise UsageError if they do not."""
        logits = _logits(outputs)
        if logits.dim() != 3:
            raise UsageError(
                f"logits {list(logits.shape)} do not fit tokens in a row",
                "a language model gives [samples, places, tokens]",
            )
        logits, tokens = self.wanted(logits, batch)
        if logits.shape[:2] != tokens.shape:
            raise UsageError(
                f"logits {list(logits.shape)} do not fit tokens {list(tokens.shape)}",
                "a language model gives [samples, places, tokens]",
            )
        if int(tokens.max()) >= logits.shape[2]:
            raise UsageError(
                f"token {int(tokens.max())} is beyond the model's {logits.shape[2]}",
                "the tokenizer is another model's",
            )
        return logits, tokens


def _logits(outputs: Any) -> Tensor:
    found = outputs["logits"] if isinstance(outputs, Mapping) else outputs
    logits: Tensor = found if isinstance(found, Tensor) else found.logits
    return logits


def unpadded(labels: Tensor, batch: Mapping[str, Any]) -> Tensor:
    """Return labels of which those of padding do not count."""
    mask = batch.get("attention_mask")
    if mask is None or mask.shape != labels.shape:
        return labels
    return labels.masked_fill(mask == 0, IGNORED)
