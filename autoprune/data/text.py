"""Text as data: ``text:FILE``, cut into blocks of tokens, or a table of labeled texts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from autoprune.data.labeled_text import ENDINGS, from_rows, read_rows
from autoprune.data.splits import Data
from autoprune.data.splitting import make_splits
from autoprune.data.tokenizers import (
    hidden,
    label_names,
    load_tokenizer,
    require_directory,
)
from autoprune.errors import UsageError
from autoprune.foundation.files import expand_user

PREFIX: Final = "text:"

BYTES: Final = "bytes"
"""The tokenizer that takes every byte for a token."""

LENGTH: Final = 128
"""Tokens of a block, unless told otherwise."""

TEST: Final = 10
"""One block of so many, at the end of the text, is for testing."""

LEAST: Final = 40
"""Fewest blocks that can be split."""


@dataclass(frozen=True)
class TextOptions:
    """What is written behind ``text:FILE``."""

    length: int = LENGTH
    tokenizer: str | None = None
    mask: float = 0.0


def from_text(spec: str, seed: int) -> Data:
    """Read ``text:FILE``, with ``,length=N`` and ``,tokenizer=DIRECTORY`` behind it if wanted.

    Without a tokenizer, or with ``bytes``, tokens are the bytes of the file, 256 kinds. The last
    tenth of the text is the test split. A batch is ``{"input_ids": int64 [B, length]}``; with
    ``,mask=0.15`` that part of the tokens is hidden, always the same, and ``labels`` [B, length]
    say what they are, -100 elsewhere. Tables of labeled texts: :mod:`autoprune.data.labeled_text`.

    Raises UsageError for a file or tokenizer that cannot be read, an option that there is not, or
    text that is too short.
    """
    place, *given = spec.removeprefix(PREFIX).split(",")
    options = _options(given)
    file = expand_user(place)
    if not file.is_file():
        raise UsageError(f"no text file: {place}", "write text:FILE,length=128")
    directory = None if options.tokenizer in (None, BYTES) else str(options.tokenizer)
    if file.suffix in ENDINGS:
        return _labeled(file, options, directory, seed)
    tokens = _bytes(file) if directory is None else _encoded(file, directory)
    length = options.length
    blocks = tokens[: len(tokens) // length * length].view(-1, length)
    if len(blocks) < LEAST:
        raise UsageError(
            f"{place} has {len(blocks)} blocks of {length} tokens, too few to split",
            f"give at least {LEAST}, or a smaller length=",
        )
    content = {"input_ids": blocks}
    if options.mask:
        content = hidden(blocks, options.mask, load_tokenizer(directory))
    at = len(blocks) - len(blocks) // TEST
    parts = {
        "train": {key: value[:at] for key, value in content.items()},
        "test": {key: value[at:] for key, value in content.items()},
    }
    return make_splits(f"{file.name}, blocks of {length}", parts, seed)


def _labeled(file: Path, options: TextOptions, directory: str | None, seed: int) -> Data:
    if options.mask:
        raise UsageError(f"{file} has labels, and mask= makes others", "mask text without labels")
    texts, labels = read_rows(file)
    if directory is None:
        tokens = [list(text.encode()[: options.length]) for text in texts]
        return from_rows(file, tokens, labels, seed=seed)
    tokenizer, names = load_tokenizer(directory), label_names(expand_user(directory))
    encoded = tokenizer(texts, truncation=True, max_length=options.length)["input_ids"]
    tokens = [list(row) for row in encoded]
    padding = tokenizer.pad_token_id or 0
    return from_rows(file, tokens, labels, padding=padding, names=names, seed=seed)


def has_tokenizer(spec: str) -> bool:
    """Whether data that are text name a tokenizer; true of all other data."""
    return not spec.startswith(PREFIX) or tokenizer_of(spec) is not None


def tokenizer_of(spec: str) -> str | None:
    """Return the tokenizer that data name, ``bytes`` or a directory; None if they name none."""
    return _options(spec.split(",")[1:]).tokenizer if spec.startswith(PREFIX) else None


def _options(given: list[str]) -> TextOptions:
    options = TextOptions()
    for option in given:
        name, _, value = option.partition("=")
        if name == "length" and value.isdecimal() and int(value) > 1:
            options = replace(options, length=int(value))
        elif name == "tokenizer" and value:
            options = replace(options, tokenizer=value)
        elif name == "mask" and _is_share(value):
            options = replace(options, mask=float(value))
        else:
            raise UsageError(
                f"text has no option {option!r}",
                "write text:FILE,length=128,tokenizer=DIRECTORY,mask=0.15",
            )
    return options


def _is_share(text: str) -> bool:
    try:
        return 0 < float(text) < 1
    except ValueError:
        return False


def _bytes(file: Path) -> Tensor:
    return torch.from_numpy(np.frombuffer(file.read_bytes(), np.uint8).astype(np.int64))


def _encoded(file: Path, place: str) -> Tensor:
    """Return the tokens of a text by the tokenizer of a directory."""
    require_directory(place)
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is not UTF-8 text: {error.reason} at {error.start}") from None
    found: list[int] = load_tokenizer(place)(text, add_special_tokens=False)["input_ids"]
    return torch.tensor(found, dtype=torch.int64)
