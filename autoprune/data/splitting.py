"""Splitting of a source into four disjoint splits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from autoprune.data.samples import Samples
from autoprune.data.split import ImageForm, Split
from autoprune.data.splits import Data
from autoprune.errors import UsageError

HELD_OUT = 5_000
"""Most training rows that become the search and validation splits."""

SHUFFLE = 20_160_607
"""Seed of every shuffle that must not depend on the user's seed. Otherwise a network trained under
one seed would be tested on its own training samples under another."""


class Cut(NamedTuple):
    """Part of the source that a split is from, and its rows there."""

    part: str
    rows: Tensor

    def shuffled(self, seed: int) -> Cut:
        """Return the rows in an order drawn by ``seed``."""
        generator = torch.Generator().manual_seed(seed)
        return Cut(self.part, self.rows[torch.randperm(len(self.rows), generator=generator)])

    def without_last(self, count: int) -> tuple[Cut, Cut]:
        """Cut ``count`` rows off the end; raise UsageError if nothing would be left."""
        if not 0 < count < len(self.rows):
            raise UsageError(
                f"{self.part}: samples are too few to cut splits out of ({len(self.rows)})",
                "give more, or splits of your own: train, search, validation and test",
            )
        at = len(self.rows) - count
        return Cut(self.part, self.rows[:at]), Cut(self.part, self.rows[at:])

    def of(self, sources: Mapping[str, Samples], name: str) -> Samples:
        """Return the samples, sharing memory with their source where they are in one piece."""
        source, first = sources[self.part], int(self.rows[0])
        whole = torch.arange(first, first + len(self.rows))
        if torch.equal(self.rows, whole):
            return source.part(first, first + len(self.rows)).called(name)
        return source.rows(self.rows).called(name)


def make_splits(
    name: str,
    parts: Mapping[str, Any],
    seed: int,
    *,
    form: ImageForm | None = None,
    classes: int | None = None,
    held_out: int | None = None,
) -> Data:
    """Make four splits of the contents in ``parts``, which are in memory; see :func:`cuts`."""
    sources = {key: Split(content, form, key) for key, content in parts.items()}
    for source in sources.values():
        source.check_finite()
    rows = cuts(name, sources, seed, held_out)
    train, search, validation, test = (cut.of(sources, key) for key, cut in rows.items())
    return Data(name, train, search, validation, test, classes, rows)


def cuts(
    name: str, sources: Mapping[str, Samples], seed: int, held_out: int | None = None
) -> dict[str, Cut]:
    """Say which rows of ``sources``, ``train`` and any of the other three, become which split.

    - No ``test``: ``validation`` takes its place; without that, a fifth of the training rows, drawn
      by a fixed seed.
    - Neither ``search`` nor ``validation``: the *last* rows of ``train``, a tenth of it but at most
      ``HELD_OUT`` (or ``held_out``), become both. They do not depend on ``seed``. If a class occurs
      in ``train`` but not among them (rows sorted by class), the rows are shuffled by a fixed seed
      first.
    - Only one of the two: it becomes both.

    What becomes both is divided in halves at random, by ``seed``.
    """
    pieces = {key: Cut(key, torch.arange(len(source))) for key, source in sources.items()}
    if "train" not in pieces:
        raise UsageError(f"{name}: no training data", "name a split 'train'")
    train = pieces.pop("train")
    test_from = "test" if "test" in pieces else "validation" if "validation" in pieces else "train"
    if test_from in pieces:
        test = pieces.pop(test_from)
    else:
        train, test = train.shuffled(SHUFFLE).without_last(max(1, len(train.rows) // 5))
    if len(pieces) == 2:
        search, validation = pieces["search"], pieces["validation"]
    else:
        both = next(iter(pieces.values()), None)
        if both is None:
            count = held_out or min(HELD_OUT, max(2, len(train.rows) // 10))
            train, both = _hold_out(sources, train, count)
        search, validation = both.shuffled(seed).without_last(len(both.rows) // 2)
    return {"train": train, "search": search, "validation": validation, "test": test}


def _hold_out(sources: Mapping[str, Samples], train: Cut, count: int) -> tuple[Cut, Cut]:
    rest, held = train.without_last(count)
    labels, all_labels = (sources["train"].labels(cut.rows) for cut in (held, train))
    if labels is not None and all_labels is not None:
        if len(set(labels.tolist())) < len(set(all_labels.tolist())):
            return train.shuffled(SHUFFLE).without_last(count)
    return rest, held
