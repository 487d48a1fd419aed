"""Text as data: ``text:FILE``, cut into blocks of tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from autoprune.data.splits import Data
from autoprune.data.splitting import make_splits
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


def from_text(spec: str, seed: int) -> Data:
    """Read ``text:FILE``, with ``,length=N`` and ``,tokenizer=DIRECTORY`` behind it if wanted.

    Without a tokenizer, or with ``bytes``, tokens are the bytes of the file, 256 kinds. The last
    tenth of the text is the test split. A batch is ``{"input_ids": int64 [B, length]}``. Raises
    UsageError for a file or tokenizer that cannot be read, an option that there is not, or text
    that is too short.
    """
    place, *options = spec.removeprefix(PREFIX).split(",")
    length, tokenizer = _options(options)
    file = expand_user(place)
    if not file.is_file():
        raise UsageError(f"no text file: {place}", "write text:FILE,length=128")
    tokens = _bytes(file) if tokenizer in (None, BYTES) else _encoded(file, str(tokenizer))
    blocks = tokens[: len(tokens) // length * length].view(-1, length)
    if len(blocks) < LEAST:
        raise UsageError(
            f"{place} has {len(blocks)} blocks of {length} tokens, too few to split",
            f"give at least {LEAST}, or a smaller length=",
        )
    at = len(blocks) - len(blocks) // TEST
    parts = {"train": {"input_ids": blocks[:at]}, "test": {"input_ids": blocks[at:]}}
    return make_splits(f"{file.name}, blocks of {length}", parts, seed)


def has_tokenizer(spec: str) -> bool:
    """Whether data that are text name a tokenizer; true of all other data."""
    return not spec.startswith(PREFIX) or tokenizer_of(spec) is not None


def tokenizer_of(spec: str) -> str | None:
    """Return the tokenizer that data name, ``bytes`` or a directory; None if they name none."""
    return _options(spec.split(",")[1:])[1] if spec.startswith(PREFIX) else None


def _options(options: list[str]) -> tuple[int, str | None]:
    length, tokenizer = LENGTH, None
    for option in options:
        name, _, value = option.partition("=")
        if name == "length" and value.isdecimal() and int(value) > 1:
            length = int(value)
        elif name == "tokenizer" and value:
            tokenizer = value
        else:
            raise UsageError(
                f"text has no option {option!r}", "write text:FILE,length=128,tokenizer=DIRECTORY"
            )
    return length, tokenizer


def _bytes(file: Path) -> Tensor:
    return torch.from_numpy(np.frombuffer(file.read_bytes(), np.uint8).astype(np.int64))


def _encoded(file: Path, place: str) -> Tensor:
    """Return the tokens of a text by the tokenizer of a directory."""
    directory = expand_user(place)
    if not directory.is_dir():
        raise UsageError(f"no tokenizer in {place}", "name the directory of a model")
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is not UTF-8 text: {error.reason} at {error.start}") from None
    found: list[int] = _tokenizer(directory)(text, add_special_tokens=False)["input_ids"]
    return torch.tensor(found, dtype=torch.int64)


def _tokenizer(directory: Path) -> Any:
    try:
        from transformers import AutoTokenizer
    except ImportError:
        raise UsageError("transformers is not installed", "pip install transformers") from None
    try:
        return AutoTokenizer.from_pretrained(
            directory, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # whatever the files of strangers make the library raise
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise UsageError(f"no tokenizer in {directory}: {reason:.150}") from None
