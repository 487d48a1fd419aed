"""Labeled texts as data: tables with columns text and label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import torch

from autoprune.data.splits import Data
from autoprune.data.splitting import make_splits
from autoprune.data.text_tables import Table, padded, parted
from autoprune.errors import UsageError

DIGITS: Final = 10
"""A label of so many digits or more is the number of something else."""

SAID: Final = 8
"""Most classes that are listed."""


def from_labeled(
    source: str,
    parts: Mapping[str, Table],
    tokens: Sequence[Sequence[int]],
    *,
    padding: int = 0,
    names: Sequence[str] = (),
    seed: int = 0,
) -> Data:
    """Return the splits of labeled texts, shuffled once and for all.

    ``tokens`` are those of all parts, one after the other. A batch is ``{"input_ids",
    "attention_mask": int64 [B, T], "labels": int64 [B]}``; T is the length of the longest text, and
    ``padding`` the token at the end of shorter ones. Labels that are no whole numbers are classes
    in the order of ``names``, if all are there, else of the source, if it says, else of the
    alphabet; a remark says which. Raises UsageError for a text without tokens.
    """
    numbers, classes, remark = _numbered(parts, names)
    if not all(tokens):
        place = next(place for place, row in enumerate(tokens) if not row)
        raise UsageError(f"{source} has no text in row {place + 1}", "drop it")
    ids, mask = padded(tokens, padding)
    content = {"input_ids": ids, "attention_mask": mask, "labels": torch.tensor(numbers)}
    name = f"{source}, {len(tokens)} texts"
    data = make_splits(name, parted(content, parts), seed, classes=classes)
    return replace(data, remarks=(remark,) if remark else ())


def _numbered(parts: Mapping[str, Table], known: Sequence[str]) -> tuple[list[int], int, str]:
    """Return the class of every label, the number of classes, and how names were read."""
    labels = [label for table in parts.values() for label in table.beside]
    own = next(iter(parts.values())).names
    if not own and all(label.isdecimal() for label in labels):
        if len(longest := max(labels, key=len)) >= DIGITS:
            raise UsageError(
                f"label {longest:.40} is no class", "whole numbers are classes: 0, 1, 2, ..."
            )
        numbers = [int(label) for label in labels]
        return numbers, max(numbers) + 1, ""
    orders = {
        "of the model's configuration": list(known),
        "of the data set": list(own),
        "of the alphabet": sorted(set(labels)),
    }
    source = next(said for said, order in orders.items() if set(labels) <= set(order))
    order = orders[source]
    listed = ", ".join(order[:SAID]) + (", ..." if len(order) > SAID else "")
    number = {name: place for place, name in enumerate(order)}
    return (
        [number[label] for label in labels],
        len(order),
        f"classes in the order {source}: {listed}",
    )
