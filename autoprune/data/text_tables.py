"""Tables of texts: files with a row for each text, and data sets of the library datasets.

A row has a text, and beside it a label, another text as the target, or nothing.
"""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from autoprune.data import hub
from autoprune.data.bombs import refuse_bombs
from autoprune.data.images import SPLIT_NAMES
from autoprune.errors import UsageError
from autoprune.foundation.files import parse

FILES: Final = (".csv", ".tsv", ".jsonl")
"""Endings of files that are read here; a file of parquet needs the library datasets."""

PARQUET: Final = ".parquet"

READ: Final = (*FILES, PARQUET, ".arrow", ".json", ".txt")
"""Endings of the files in a directory that the library datasets makes rows of."""

SAVED: Final = ("state.json", "dataset_dict.json")
"""Files that ``save_to_disk`` of the library datasets writes, of a data set and of its parts."""

TEXT: Final = "text"
LABEL: Final = "label"
TARGET: Final = "target"

LEAST: Final = 20
"""Fewest rows that can be split."""


@dataclass(frozen=True)
class Columns:
    """Names of the columns; ``label`` and ``target`` are looked for under their own names, if None.

    Raises UsageError for a label and a target at once.
    """

    text: str = TEXT
    label: str | None = None
    target: str | None = None

    def __post_init__(self) -> None:
        if self.label and self.target:
            raise UsageError("a text has a label or a target, not both", "name only one column")

    def beside(self, row: Mapping[str, Any]) -> tuple[str, str]:
        """Return what stands beside the texts, by the first row: kind and column, or nothing."""
        if self.label or self.target:
            return (LABEL, self.label) if self.label else (TARGET, str(self.target))
        found = next((kind for kind in (TARGET, LABEL) if row.get(kind) is not None), "")
        return found, found


@dataclass(frozen=True)
class Table:
    """Rows of one part of a source.

    ``kind``: what ``beside`` holds, ``label`` or ``target``; empty if texts stand alone.
    ``names``: the classes in their order, if the source says.
    """

    texts: list[str]
    beside: list[str]
    kind: str
    names: tuple[str, ...] = ()


def is_table(path: Path) -> bool:
    """Whether a path is a table, or a directory, which must hold some."""
    return path.is_dir() or path.suffix in (*FILES, PARQUET)


def read_tables(path: Path, columns: Columns) -> dict[str, Table]:
    """Return the parts of a source by name, ``train`` and perhaps ``validation`` and ``test``.

    Raises UsageError, in one line, for what cannot be read, rows that lack something and parts that
    do not fit together, DamagedError for files that expand beyond reason.
    """
    if path.suffix in FILES and path.is_file():
        parts = {"train": _table(str(path), _file_rows(path), columns)}
    else:
        parts = _from_library(path, columns)
    if len({table.kind for table in parts.values()}) > 1:
        raise UsageError(f"{path}: not all parts have the same columns", "name them alike")
    if len(parts) == 1 and parts["train"].kind and len(parts["train"].texts) < LEAST:
        count = len(parts["train"].texts)
        raise UsageError(f"{path} has {count} rows, too few to split", f"give {LEAST} or more")
    return parts


def padded(rows: Sequence[Sequence[int]], padding: int) -> tuple[Tensor, Tensor]:
    """Return tokens [B, T] of rows, padded at the end, and which are tokens, 1 or 0, [B, T]."""
    longest = max(map(len, rows))
    tokens = torch.tensor([[*row, *[padding] * (longest - len(row))] for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    return tokens, mask


def parted(
    content: Mapping[str, Tensor], parts: Mapping[str, Table]
) -> dict[str, dict[str, Tensor]]:
    """Return the rows of each part out of those of all, one after the other."""
    found, at = {}, 0
    for name, table in parts.items():
        end = at + len(table.texts)
        found[name] = {key: value[at:end] for key, value in content.items()}
        at = end
    return found


def _from_library(path: Path, columns: Columns) -> dict[str, Table]:
    with tempfile.TemporaryDirectory() as scratch:
        if any((path / name).is_file() for name in SAVED):
            found = hub.from_saved(str(path))
        else:
            _refuse_others(path)
            refuse_bombs(path)
            found = hub.from_files(str(path), scratch)
        parts = {SPLIT_NAMES[name]: part for name, part in found.items() if name in SPLIT_NAMES}
        if "train" not in parts:
            raise UsageError(f"{path} has no split 'train'", f"it has {', '.join(found)}")
        return {
            name: _table(f"{path}, {name}", part, columns, part.features)
            for name, part in parts.items()
        }


def _refuse_others(path: Path) -> None:
    """Raise UsageError for what is no table: pictures, runs, a directory of anything."""
    files = path.rglob("*") if path.is_dir() else [path]
    if not any(file.suffix.lower() in READ for file in files):
        raise UsageError(f"{path} holds no table of texts", f"it is one of {', '.join(READ)}")


def _table(
    source: str,
    rows: Iterable[Mapping[str, Any]],
    columns: Columns,
    features: Mapping[str, Any] | None = None,
) -> Table:
    texts: list[str] = []
    beside: list[str] = []
    kind, column, names = "", "", ()
    for number, row in enumerate(rows, 1):
        if number == 1:
            kind, column = columns.beside(row)
            names = tuple(getattr((features or {}).get(column), "names", None) or ())
        text, value = row.get(columns.text), row.get(column) if kind else ""
        there = isinstance(value, str) or (kind == LABEL and isinstance(value, int))
        if not isinstance(text, str) or not there or (kind and value in ("", -1)):
            has = ", ".join(key for key in row if key)
            raise UsageError(
                f"{source} lacks a text or a {kind or LABEL} in row {number}",
                f"read are the columns {columns.text!r} and {column or LABEL!r};"
                f" there are {has:.200}"
                + (f"; text= and {kind or LABEL}= name others" if columns.text == TEXT else ""),
            )
        if not all(map(_is_text, (text, value))):
            raise UsageError(
                f"{source} holds half a character in row {number}", "mend the text, or drop the row"
            )
        texts.append(text)
        beside.append(names[value] if names and isinstance(value, int) else str(value))
    return Table(texts, beside, kind, names)


def _is_text(value: Any) -> bool:
    """Whether a value can be written: JSON can say half a surrogate pair, UTF-8 cannot."""
    try:
        str(value).encode()
    except UnicodeEncodeError:
        return False
    return True


def _file_rows(file: Path) -> Iterator[Mapping[str, Any]]:
    """Yield the rows of a file, each by the names of its columns."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            if file.suffix == ".jsonl":
                yield from _objects(file, stream)
            else:
                dialect = "excel" if file.suffix == ".csv" else "excel-tab"
                yield from csv.DictReader(stream, dialect=dialect)
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is not UTF-8 text: {error.reason} at {error.start}") from None
    except csv.Error as error:
        raise UsageError(
            f"{file} is no table: {error}", "close every quote; longer texts go into a .jsonl"
        ) from None


def _objects(file: Path, stream: Iterator[str]) -> Iterator[Mapping[str, Any]]:
    for number, line in enumerate(stream, 1):
        row = parse(line, f"line {number} of {file}") if line.strip() else None
        if isinstance(row, Mapping):
            yield row
        elif row is not None:
            raise UsageError(
                f"line {number} of {file} is no object", 'as {"text": .., "label": ..}'
            )
