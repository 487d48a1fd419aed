"""Splitting of a source into four disjoint splits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from autoprune.data.split import Data, ImageForm, Split
from autoprune.errors import UsageError

HELD_OUT = 5_000
"""Most training rows that become the search and validation splits."""

SHUFFLE = 20_160_607
"""Seed of every shuffle that must not depend on the user's seed. Otherwise a network trained under
one seed would be tested on its own training samples under another."""


INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


def make_splits(
    name: str,
    parts: Mapping[str, Any],
    seed: int,
    *,
    form: ImageForm | None = None,
    classes: int | None = None,
    held_out: int | None = None,
) -> Data:
    """Make four splits of the contents in ``parts``: ``train`` and any of the other three.

    - No ``test``: ``validation`` takes its place; without that, a fifth of the training rows, drawn
      by a fixed seed.
    - Neither ``search`` nor ``validation``: the *last* rows of ``train``, a tenth of it but at most
      ``HELD_OUT`` (or ``held_out``), become both. They do not depend on ``seed``. If a class occurs
      in ``train`` but not among them (rows sorted by class), the rows are shuffled by a fixed seed
      first.
    - Only one of the two: it becomes both.

    What becomes both is divided in halves at random, by ``seed``.
    """
    pieces = {key: _numbered(Split(content, form, key)) for key, content in parts.items()}
    if "train" not in pieces:
        raise UsageError(f"{name}: no training data", "name a split 'train'")
    train = pieces.pop("train")
    test_from = "test" if "test" in pieces else "validation" if "validation" in pieces else "train"
    sources = dict.fromkeys(("train", "search", "validation"), "train") | {"test": test_from}
    if test_from in pieces:
        test = pieces.pop(test_from)
    else:
        train, test = _cut(train.take(len(train), SHUFFLE), max(1, len(train) // 5))
    if len(pieces) == 2:
        search, validation = pieces["search"], pieces["validation"]
        sources |= {"search": "search", "validation": "validation"}
    else:
        given, both = next(iter(pieces.items()), ("train", None))
        sources |= {"search": given, "validation": given}
        if both is None:
            train, both = _hold_out(train, held_out or min(HELD_OUT, max(2, len(train) // 10)))
        search, validation = _cut(both.take(len(both), seed), len(both) // 2)
    splits = {"train": train, "search": search, "validation": validation, "test": test}
    rows = {key: (sources[key], split.content[1]) for key, split in splits.items()}
    named = {
        key: replace(split, content=split.content[0], name=key) for key, split in splits.items()
    }
    return Data(name, **named, classes=classes, rows=rows)


def class_labels(split_content: Any) -> Tensor | None:
    """Return the labels of (inputs..., integers [N]) content, None if it has another form."""
    if not isinstance(split_content, tuple) or len(split_content) < 2:
        return None
    labels = split_content[-1]
    if not isinstance(labels, Tensor) or labels.ndim != 1 or labels.dtype not in INTEGERS:
        return None
    return labels


def _numbered(split: Split) -> Split:
    """Put the number of each row beside it; check for NaN while rows are still in order."""
    split.check_finite()
    return replace(split, content=(split.content, torch.arange(len(split))))


def _cut(split: Split, count: int) -> tuple[Split, Split]:
    """Cut ``count`` rows off the end."""
    if not 0 < count < len(split):
        raise UsageError(
            f"{split.name}: samples are too few to cut splits out of ({len(split)})",
            "give more, or splits of your own: train, search, validation and test",
        )
    at = len(split) - count
    return split.part(0, at), split.part(at, len(split))


def _hold_out(train: Split, count: int) -> tuple[Split, Split]:
    rest, held = _cut(train, count)
    labels = class_labels(train.content[0])
    if labels is not None:
        if len(set(labels[-count:].tolist())) < len(set(labels.tolist())):
            return _cut(train.take(len(train), SHUFFLE), count)
    return rest, held
