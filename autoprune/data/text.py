"""Text as data: ``text:FILE``, cut into blocks of tokens, or a table of texts."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from autoprune.data.labeled_text import from_labeled
from autoprune.data.paired_text import from_pairs, start_token
from autoprune.data.splits import Data
from autoprune.data.splitting import make_splits
from autoprune.data.text_tables import (
    LABEL,
    TARGET,
    TEXT,
    Columns,
    Table,
    is_table,
    read_tables,
)
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

DIGITS: Final = 10
"""A length of so many digits or more is a slip."""

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
    columns: Columns = field(default_factory=Columns)

    @property
    def directory(self) -> str | None:
        """Directory of the tokenizer; None for bytes."""
        return None if self.tokenizer in (None, BYTES) else self.tokenizer


def from_text(spec: str, seed: int) -> Data:
    """Read ``text:FILE``, with ``,length=N`` and ``,tokenizer=DIRECTORY`` behind it if wanted.

    Without a tokenizer, or with ``bytes``, tokens are the bytes of the file, 256 kinds. The last
    tenth of the text is the test split. A batch is ``{"input_ids": int64 [B, length]}``; with
    ``,mask=0.15`` that part of the tokens is hidden, always the same, and ``labels`` [B, length]
    say what they are, -100 elsewhere.

    Tables and data sets of the library datasets (:mod:`autoprune.data.text_tables`) hold labeled
    texts (:mod:`autoprune.data.labeled_text`), pairs of texts (:mod:`autoprune.data.paired_text`)
    or texts alone, which are read as one, a line for each. ``,text=NAME``, ``,label=NAME`` and
    ``,target=NAME`` name their columns.

    Raises UsageError for a file or tokenizer that cannot be read, an option that there is not, or
    text that is too short.
    """
    place, *given = spec.removeprefix(PREFIX).split(",")
    options = _options(given)
    path = expand_user(place)
    if is_table(path) and path.exists():
        parts = read_tables(path, options.columns)
        if parts["train"].kind:
            return _rows(path, parts, options, seed)
        texts = {name: "\n".join(table.texts) for name, table in parts.items()}
        tokens = {name: _tokens(one.encode(), path, options) for name, one in texts.items()}
        said = f"{path.name} has no column {LABEL!r} or {TARGET!r}: its texts are read as one"
        return replace(_blocks(path, tokens, options, seed), remarks=(said,))
    if not path.is_file():
        raise UsageError(f"no text file: {place}", "write text:FILE,length=128")
    return _blocks(path, {"train": _tokens(path.read_bytes(), path, options)}, options, seed)


def _blocks(path: Path, tokens: Mapping[str, Tensor], options: TextOptions, seed: int) -> Data:
    """Return the splits of texts cut into blocks, [B, length]."""
    length, parts = options.length, {}
    for name, each in tokens.items():
        blocks = each[: len(each) // length * length].view(-1, length)
        if len(blocks) < (LEAST if name == "train" else 1):
            raise UsageError(
                f"{path} has {len(blocks)} blocks of {length} tokens, too few to split",
                f"give at least {LEAST}, or a smaller length=",
            )
        parts[name] = {"input_ids": blocks}
        if options.mask:
            parts[name] = hidden(blocks, options.mask, load_tokenizer(options.directory))
    if "test" not in parts:
        whole = parts["train"]
        at = len(whole["input_ids"]) - len(whole["input_ids"]) // TEST
        parts["train"] = {key: value[:at] for key, value in whole.items()}
        parts["test"] = {key: value[at:] for key, value in whole.items()}
    return make_splits(f"{path.name}, blocks of {length}", parts, seed)


def _rows(path: Path, parts: Mapping[str, Table], options: TextOptions, seed: int) -> Data:
    """Return the splits of labeled texts, or of pairs of texts."""
    kind = parts["train"].kind
    if options.mask:
        raise UsageError(f"{path} has {kind}s, and mask= makes others", "mask text without labels")
    texts = [text for table in parts.values() for text in table.texts]
    if options.directory is None:
        if kind == TARGET:
            raise UsageError(
                f"{path} has targets: bytes do not say where one starts and ends",
                "name the directory of an encoder-decoder: tokenizer=DIRECTORY",
            )
        return from_labeled(
            path.name, parts, [list(text.encode()[: options.length]) for text in texts], seed=seed
        )
    tokenizer, directory = load_tokenizer(options.directory), expand_user(options.directory)
    cut = {"truncation": True, "max_length": options.length}
    tokens = [list(row) for row in tokenizer(texts, **cut)["input_ids"]]
    padding = tokenizer.pad_token_id or 0
    if kind == TARGET:
        targets = [text for table in parts.values() for text in table.beside]
        told = [list(row) for row in tokenizer(text_target=targets, **cut)["input_ids"]]
        return from_pairs(
            *(path.name, parts, (tokens, told)),
            start=start_token(directory),
            padding=padding,
            seed=seed,
        )
    names = label_names(directory)
    return from_labeled(path.name, parts, tokens, padding=padding, names=names, seed=seed)


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
        if name == "length" and value.isdecimal() and len(value) < DIGITS and int(value) > 1:
            options = replace(options, length=int(value))
        elif name == "tokenizer" and value:
            options = replace(options, tokenizer=value)
        elif name == "mask" and _is_share(value):
            options = replace(options, mask=float(value))
        elif name in (TEXT, LABEL, TARGET) and value:
            options = replace(options, columns=replace(options.columns, **{name: value}))
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


def _tokens(content: bytes, path: Path, options: TextOptions) -> Tensor:
    """Return the tokens of a text, int64 [tokens]: its bytes, or what a tokenizer makes of it."""
    if options.directory is None:
        return torch.from_numpy(np.frombuffer(content, np.uint8).astype(np.int64))
    require_directory(options.directory)
    try:
        text = io.TextIOWrapper(io.BytesIO(content), "utf-8").read()  # lines end in any way
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text: {error.reason} at {error.start}") from None
    tokenizer = load_tokenizer(options.directory)
    found: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return torch.tensor(found, dtype=torch.int64)
