"""Labeled texts as data: ``text:FILE.csv``, ``.tsv`` or ``.jsonl`` with columns text and label."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import torch

from autoprune.data.splits import Data
from autoprune.data.splitting import make_splits
from autoprune.errors import UsageError
from autoprune.foundation.files import parse

ENDINGS: Final = (".csv", ".tsv", ".jsonl")
"""Endings of files with a row for each text."""

TEXT: Final = "text"
LABEL: Final = "label"

LEAST: Final = 20
"""Fewest rows that can be split."""

SAID: Final = 8
"""Most classes that are listed."""


def from_rows(
    file: Path,
    tokens: Sequence[list[int]],
    labels: Sequence[str],
    *,
    padding: int = 0,
    names: Sequence[str] = (),
    seed: int = 0,
) -> Data:
    """Return the splits of labeled texts, shuffled once and for all.

    A batch is ``{"input_ids", "attention_mask": int64 [B, T], "labels": int64 [B]}``; T is the
    length of the longest text, and ``padding`` the token at the end of shorter ones. Labels that
    are no whole numbers are classes in the order of ``names``, if all are there, else of the
    alphabet; a remark says which. Raises UsageError for a text without tokens.
    """
    numbers, classes, remark = _numbered(labels, names)
    longest = max(map(len, tokens))
    if not all(tokens):
        place = next(place for place, row in enumerate(tokens) if not row)
        raise UsageError(f"{file} has no text in row {place + 1}", "drop it")
    content = {
        "input_ids": torch.tensor([row + [padding] * (longest - len(row)) for row in tokens]),
        "attention_mask": torch.tensor(
            [[1] * len(row) + [0] * (longest - len(row)) for row in tokens]
        ),
        "labels": torch.tensor(numbers),
    }
    name = f"{file.name}, {len(tokens)} texts"
    data = make_splits(name, {"train": content}, seed, classes=classes)
    return replace(data, remarks=(remark,) if remark else ())


def read_rows(file: Path) -> tuple[list[str], list[str]]:
    """Return the texts and the labels in a file; raise UsageError for a row that lacks one."""
    rows = list(_rows(file))
    if len(rows) < LEAST:
        raise UsageError(f"{file} has {len(rows)} rows, too few to split", f"give {LEAST} or more")
    return [text for text, _ in rows], [label for _, label in rows]


def _rows(file: Path) -> Iterator[tuple[str, str]]:
    """Yield text and label of every row."""
    try:
        with file.open(encoding="utf-8", newline="") as stream:
            found: Iterator[Mapping[str, Any]]
            if file.suffix == ".jsonl":
                found = _objects(file, stream)
            else:
                dialect = "excel" if file.suffix == ".csv" else "excel-tab"
                found = csv.DictReader(stream, dialect=dialect)
            for number, row in enumerate(found, 1):
                text, label = row.get(TEXT), row.get(LABEL)
                if not isinstance(text, str) or not isinstance(label, (str, int)) or label == "":
                    raise UsageError(
                        f"{file} lacks a text or a label in row {number}",
                        f"columns are called {TEXT!r} and {LABEL!r}",
                    )
                yield text, str(label)
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is not UTF-8 text: {error.reason} at {error.start}") from None
    except csv.Error as error:
        raise UsageError(f"{file} is no table: {error}") from None


def _objects(file: Path, stream: Iterator[str]) -> Iterator[Mapping[str, Any]]:
    for number, line in enumerate(stream, 1):
        row = parse(line, f"line {number} of {file}") if line.strip() else None
        if isinstance(row, Mapping):
            yield row
        elif row is not None:
            raise UsageError(
                f"line {number} of {file} is no object", 'as {"text": .., "label": ..}'
            )


def _numbered(labels: Sequence[str], known: Sequence[str]) -> tuple[list[int], int, str]:
    """Return the class of every label, the number of classes, and how names were read."""
    if all(label.isdecimal() for label in labels):
        numbers = [int(label) for label in labels]
        return numbers, max(numbers) + 1, ""
    names = sorted(set(labels))
    order = list(known) if set(names) <= set(known) else names
    listed = ", ".join(order[:SAID]) + (", ..." if len(order) > SAID else "")
    source = "of the model's configuration" if order is not names else "of the alphabet"
    number = {name: place for place, name in enumerate(order)}
    return (
        [number[label] for label in labels],
        len(order),
        f"classes in the order {source}: {listed}",
    )
