"""CTC task for lines of text and for speech: the loss, the greedy decoder, and its error rates.

Graves et al. 2006, "Connectionist Temporal Classification": sections 3.1 (best path decoding) and 4
(the loss). Class 0 is the blank, unless told otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn.functional import ctc_loss, log_softmax

from autoprune.errors import UsageError

NAME: Final = "ctc"

LABELS: Final = "labels"
"""Key of the texts in a batch that is a mapping."""

BLANK: Final = 0


@dataclass(frozen=True)
class CTC:
    """Task of a reader of lines or a recognizer of speech: CTC loss, and the share without mistake.

    A batch is (images, texts): texts int64 [B, L] hold classes, padded with ``blank`` or negative
    numbers at the end. Or it is a mapping with the texts as ``labels``, and perhaps the
    ``attention_mask`` [B, S] of sounds [B, S], 0 for padding. Outputs are logits
    [B, columns, classes], or an object or mapping with them as ``logits``.
    """

    blank: int = BLANK

    @property
    def name(self) -> str:
        """Short name."""
        return NAME

    @property
    def metric(self) -> str:
        """Name of the score."""
        return "sequence accuracy"

    def inputs(self, batch: Any) -> dict[str, Any] | tuple[tuple[Any, ...], dict[str, Any]]:
        """Return everything but the texts."""
        if isinstance(batch, Mapping):
            return {name: value for name, value in batch.items() if name != LABELS}
        return tuple(batch[:-1]), {}

    def loss(self, outputs: Any, batch: Any) -> Tensor:
        """Return the mean over the batch of each text's loss divided by its length."""
        return self.losses(outputs, batch).mean()

    def losses(self, outputs: Any, batch: Any) -> Tensor:
        """Return each text's loss divided by its length, [B]."""
        logits, texts = _logits(outputs), self._padded(batch)
        if self.blank >= logits.shape[2]:
            raise UsageError(
                f"the blank is {self.blank}, but the model's classes end at {logits.shape[2] - 1}",
                "name the class of the blank: ctc,blank=N",
            )
        if int(texts.max()) >= logits.shape[2]:
            raise UsageError(
                f"the model has outputs for {logits.shape[2] - 1} characters, but a text holds"
                f" number {int(texts.max())}",
                "build it for as many classes as there are characters, and one for the blank",
            )
        lengths = (texts != self.blank).sum(1)
        losses: Tensor = ctc_loss(
            log_softmax(logits.float(), dim=2).transpose(0, 1),
            texts,
            columns_of(logits, batch).cpu(),
            lengths.cpu(),
            blank=self.blank,
            reduction="none",
            zero_infinity=True,  # texts too long for the columns
        )
        return losses.div(lengths.clamp_min(1))

    def score(self, outputs: Any, batch: Any) -> Tensor:
        """Return 1 for a line read without a mistake, else 0: the mean is the sequence accuracy."""
        return torch.tensor([float(text == true) for text, true in self._read(outputs, batch)])

    def rates(self, outputs: Any, batch: Any) -> Mapping[str, tuple[float, float]]:
        """Return the character error rate as (edits needed, characters in the texts)."""
        read = self._read(outputs, batch)
        edits = sum(edit_distance(text, true) for text, true in read)
        return {"character error rate": (float(edits), float(sum(len(true) for _, true in read)))}

    def _padded(self, batch: Any) -> Tensor:
        """Return the texts, padded with the blank, [B, L]; raise UsageError if there are none."""
        if isinstance(batch, Mapping) and LABELS not in batch:
            raise UsageError("a batch has no texts", f"give them as {LABELS!r}, int64 [B, L]")
        texts: Tensor = batch[LABELS] if isinstance(batch, Mapping) else batch[-1]
        return texts.masked_fill(texts < 0, self.blank)

    def _read(self, outputs: Any, batch: Any) -> list[tuple[list[int], list[int]]]:
        """Return what is read on the best path of every line, and its text."""
        logits = _logits(outputs)
        found = best_path_texts(logits, self.blank, columns_of(logits, batch))
        true = [[one for one in line if one != self.blank] for line in self._padded(batch).tolist()]
        return list(zip(found, true, strict=True))


def columns_of(logits: Tensor, batch: Any) -> Tensor:
    """Return how many columns of every line are no padding, int64 [B].

    The part of a sound that is no padding is that of its columns, rounded down: what the
    convolutions of a recognizer leave may be one column more.
    """
    count, all_columns = logits.shape[:2]
    mask = batch.get("attention_mask") if isinstance(batch, Mapping) else None
    if mask is None or mask.dim() != 2:
        return torch.full((count,), all_columns, device=logits.device)
    columns: Tensor = (mask != 0).sum(1) * all_columns // mask.shape[1]
    return columns.clamp_min(1)


def best_path_texts(
    logits: Tensor, blank: int = BLANK, columns: Tensor | None = None
) -> list[list[int]]:
    """Return the text on the best path of every line, repetitions joined and blanks dropped.

    ``logits``: [B, columns, classes]; ``columns``: how many of each line count, all by default.
    """
    best = logits.argmax(2)
    new = torch.ones_like(best, dtype=torch.bool)
    new[:, 1:] = best[:, 1:] != best[:, :-1]
    if columns is not None:
        new &= torch.arange(best.shape[1], device=best.device) < columns[:, None]
    return [line[kept].tolist() for line, kept in zip(best, new & (best != blank), strict=True)]


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


def _logits(outputs: Any) -> Tensor:
    found = outputs.get("logits") if isinstance(outputs, Mapping) else outputs
    found = getattr(found, "logits", found)
    if not isinstance(found, Tensor) or found.ndim != 3:
        kind = list(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise UsageError(
            f"the model returns {kind}, not logits [samples, columns, classes]",
            "the task ctc is for readers of lines, such as ocrnet, and recognizers of speech",
        )
    return found
