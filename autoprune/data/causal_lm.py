"""Causal language modeling: the next token of every place, and what a model's surprise is called.

The score is 1 / perplexity, the geometric mean of the probabilities that a model gives to the
tokens that come: in (0, 1], higher is better, and over all tokens of a split. Perplexity is
reported beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from autoprune.errors import UsageError

NAME: Final = "causal-lm"

IGNORED: Final = -100
"""Label of a token that does not count, as the Trainer of transformers has it."""


@dataclass(frozen=True)
class CausalLanguageModeling:
    """Task of a language model that reads from left to right.

    A batch is a mapping as a tokenizer makes it: ``input_ids`` [B, T], perhaps ``attention_mask``
    [B, T], 0 for padding, and ``labels`` [B, T], -100 for what does not count; or a tensor of ids
    alone. Outputs are logits [B, T, tokens], or an object or mapping with them as ``logits``.
    """

    outputs: tuple[str, ...] = ("logits",)

    @property
    def name(self) -> str:
        """Short name."""
        return NAME

    @property
    def metric(self) -> str:
        """Name of the score."""
        return "1 / perplexity"

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
        logits, labels = _logits(outputs), _labels(batch)
        if logits.dim() != 3 or logits.shape[:2] != labels.shape:
            raise UsageError(
                f"logits {list(logits.shape)} do not fit tokens {list(labels.shape)}",
                "a language model gives [samples, places, tokens]",
            )
        wanted = labels[:, 1:]
        if int(wanted.max()) >= logits.shape[2]:
            raise UsageError(
                f"token {int(wanted.max())} is beyond the model's {logits.shape[2]}",
                "the tokenizer is another model's",
            )
        surprise = cross_entropy(
            logits[:, :-1].float().transpose(1, 2),
            wanted,
            ignore_index=IGNORED,
            reduction="none",
        )
        return torch.stack([surprise.sum(1), (wanted != IGNORED).sum(1).float()], 1)

    def score_of(self, evidence: Tensor) -> float:
        """Return 1 / perplexity over all tokens, of the rows of ``evidence``."""
        surprise, tokens = evidence.double().sum(0).tolist()
        return float(torch.exp(torch.tensor(-surprise / max(tokens, 1.0))))

    def readings(self, score: float) -> Mapping[str, float]:
        """Return the perplexity that a score stands for."""
        return {"perplexity": 1 / max(score, 1e-30)}


def _logits(outputs: Any) -> Tensor:
    found = outputs["logits"] if isinstance(outputs, Mapping) else outputs
    logits: Tensor = found if isinstance(found, Tensor) else found.logits
    return logits


def _labels(batch: Any) -> Tensor:
    """Return what is to be predicted, [B, T]; padding does not count."""
    if isinstance(batch, Tensor):
        return batch
    labels: Tensor = batch["labels"] if "labels" in batch else batch["input_ids"]
    mask = batch.get("attention_mask")
    return labels if mask is None else labels.masked_fill(mask == 0, IGNORED)
