"""Deaths of workers, by which work is given up: of processes here and of actors of a cluster."""

from __future__ import annotations

from collections import Counter
from typing import Final

DEATHS: Final = 3
"""Processes that may die in a row, or at one item, before the work is given up."""


class Deaths:
    """Count of the workers that died in a row, and at each item."""

    def __init__(self) -> None:
        self._row, self._items = 0, Counter[int]()

    def too_many(self, item: int | None) -> bool:
        """Count a death at an item, None for a worker that had none; return if it was the last."""
        self._row += 1
        if item is not None:
            self._items[item] += 1
        return max(self._row, self._items[item] if item is not None else 0) >= DEATHS

    def end_row(self) -> None:
        """Note that a worker has done its work."""
        self._row = 0
