"""CTC task for lines of text: the loss, the greedy decoder, and its error rates.

Graves et al. 2006, "Connectionist Temporal Classification": sections 3.1 (best path decoding) and 4
(the loss). Class 0 is the blank.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import ctc_loss, log_softmax

from autoprune.errors import UsageError

BLANK = 0


@dataclass(frozen=True)
class CTC:
    """Task of a line reader: CTC loss, and the share of lines read without a mistake.

    A batch is (images, texts): texts int64 [B, L] hold classes from 1, padded with zeros at the
    end. Outputs are logits [B, columns, classes].
    """

    @property
    def name(self) -> str:
        """Short name."""
        return "ctc"

    def inputs(self, batch: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return everything but the texts."""
        return tuple(batch[:-1]), {}

    def loss(self, outputs: Any, batch: Any) -> Tensor:
        """Return the mean over the batch of each text's loss divided by its length."""
        return self.losses(outputs, batch).mean()

    def losses(self, outputs: Any, batch: Any) -> Tensor:
        """Return each text's loss divided by its length, [B]."""
        logits, texts = _logits(outputs), batch[-1]
        if int(texts.max()) >= logits.shape[2]:
            raise UsageError(
                f"the model has outputs for {logits.shape[2] - 1} characters, but a text holds"
                f" number {int(texts.max())}",
                "build it for as many classes as there are characters, and one for the blank",
            )
        columns, lengths = torch.full((len(logits),), logits.shape[1]), (texts != BLANK).sum(1)
        losses: Tensor = ctc_loss(
            log_softmax(logits.float(), dim=2).transpose(0, 1),
            texts,
            columns,
            lengths.cpu(),
            blank=BLANK,
            reduction="none",
            zero_infinity=True,  # texts too long for the columns
        )
        return losses.div(lengths.clamp_min(1))

    def score(self, outputs: Any, batch: Any) -> Tensor:
        """Return 1 for a line read without a mistake, else 0: the mean is the sequence accuracy."""
        pairs = zip(best_path_texts(_logits(outputs)), _texts(batch[-1]), strict=True)
        return torch.tensor([float(text == true) for text, true in pairs])

    def rates(self, outputs: Any, batch: Any) -> Mapping[str, tuple[float, float]]:
        """Return the character error rate as (edits needed, characters in the texts)."""
        truth = _texts(batch[-1])
        pairs = zip(best_path_texts(_logits(outputs)), truth, strict=True)
        edits = sum(edit_distance(text, true) for text, true in pairs)
        return {"character error rate": (float(edits), float(sum(map(len, truth))))}


def best_path_texts(logits: Tensor) -> list[list[int]]:
    """Return the text on the best path of every line, repetitions joined and blanks dropped.

    ``logits``: [B, columns, classes].
    """
    best = logits.argmax(2)
    new = torch.ones_like(best, dtype=torch.bool)
    new[:, 1:] = best[:, 1:] != best[:, :-1]
    return [line[kept].tolist() for line, kept in zip(best, new & (best != BLANK), strict=True)]


def edit_distance(one: Sequence[int], two: Sequence[int]) -> int:
    """Return the least number of insertions, deletions and substitutions (Levenshtein 1966)."""
    if one == two:
        return 0
    row = list(range(len(two) + 1))
    for count, left in enumerate(one, start=1):
        before, row[0] = row[0], count
        for column, right in enumerate(two, start=1):
            substituted = before + (left != right)
            before = row[column]
            row[column] = min(substituted, row[column] + 1, row[column - 1] + 1)
    return row[-1]


def _texts(padded: Tensor) -> list[list[int]]:
    return [[label for label in line if label != BLANK] for line in padded.tolist()]


def _logits(outputs: Any) -> Tensor:
    if not isinstance(outputs, Tensor) or outputs.ndim != 3:
        kind = list(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
        raise UsageError(
            f"the model returns {kind}, not logits [samples, columns, classes]",
            "the task ctc is for readers of lines, such as ocrnet",
        )
    return outputs
