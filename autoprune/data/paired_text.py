"""Pairs of texts as data: tables with columns text and target, for encoder-decoders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from autoprune.data.language_modeling import IGNORED
from autoprune.data.splits import Data
from autoprune.data.splitting import make_splits
from autoprune.data.text_tables import Table, padded, parted
from autoprune.errors import DamagedError, UsageError
from autoprune.foundation.files import read_json

START: Final = "decoder_start_token_id"

CONFIGURATIONS: Final = ("config.json", "generation_config.json")
"""Files beside a tokenizer that may say the token a decoder starts with."""


def from_pairs(
    source: str,
    parts: Mapping[str, Table],
    tokens: tuple[Sequence[Sequence[int]], Sequence[Sequence[int]]],
    *,
    start: int,
    padding: int,
    seed: int,
) -> Data:
    """Return the splits of pairs of texts, shuffled once and for all.

    ``tokens`` are those of the texts and of the targets, of all parts, one after the other. A batch
    is ``{"input_ids", "attention_mask": [B, S], "decoder_input_ids", "decoder_attention_mask",
    "labels": [B, T]}``, int64. The decoder is fed what it should have said (teacher forcing,
    Williams and Zipser 1989): the labels one place later, behind the token ``start``. Labels of
    padding are -100. Raises UsageError for a text or a target without tokens.
    """
    for each, what in zip(tokens, ("text", "target"), strict=True):
        if not all(each):
            place = next(place for place, row in enumerate(each) if not row)
            raise UsageError(f"{source} has no {what} in row {place + 1}", "drop it")
    texts, targets = tokens
    ids, mask = padded(texts, padding)
    told, told_mask = padded([[start, *row[:-1]] for row in targets], padding)
    content = {
        "input_ids": ids,
        "attention_mask": mask,
        "decoder_input_ids": told,
        "decoder_attention_mask": told_mask,
        "labels": padded(targets, IGNORED)[0],
    }
    name = f"{source}, {len(texts)} pairs of texts"
    return make_splits(name, parted(content, parts), seed)


def start_token(directory: Path) -> int:
    """Return the token that the decoder beside a tokenizer starts with.

    Raises UsageError if no configuration says it.
    """
    for name in CONFIGURATIONS:
        try:
            config = read_json(directory / name) if (directory / name).is_file() else None
        except DamagedError:
            continue
        start = config.get(START) if isinstance(config, dict) else None
        if type(start) is int and start >= 0:
            return start
    raise UsageError(
        f"{directory} does not say what its decoder starts with: {START} is in no configuration",
        "targets are for encoder-decoders: name the directory of one, or add it to its config.json",
    )
