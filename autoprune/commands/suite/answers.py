"""Answers to a searcher's plans: from the table, else by evaluation or from the surrogate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from autoprune.commands.suite.table import SPLITS, Measured, Table
from autoprune.errors import UsageError

Source = Literal["table", "evaluated", "surrogate"]

Evaluate = Callable[[Sequence[int]], Measured]
"""What evaluates a plan [groups] with the table's network and data."""


@dataclass(frozen=True)
class Answer:
    """Loss and score on a split, and where they come from."""

    loss: float
    score: float
    source: Source


def answers(
    table: Table,
    counts: Sequence[Sequence[int]],
    split: str = "search",
    evaluate: Evaluate | None = None,
) -> list[Answer]:
    """Return the answers for plans [plans, groups] on one of ``SPLITS``.

    Raises UsageError for a plan that is in no row where nothing evaluates it and the table has no
    surrogate.
    """
    column = SPLITS.index(split)
    rows = [table.rows.get(tuple(plan)) for plan in counts]
    unknown = [tuple(plan) for plan, row in zip(counts, rows, strict=True) if row is None]
    if evaluate is None:
        others = iter(_guesses(table, unknown, column))
    else:
        others = (_evaluated(evaluate(plan), column) for plan in unknown)
    return [
        next(others)
        if row is None
        else Answer(float(table.losses[row, column]), float(table.scores[row, column]), "table")
        for row in rows
    ]


def _evaluated(found: Measured, column: int) -> Answer:
    return Answer(_rounded(found.losses[column]), _rounded(found.scores[column]), "evaluated")


def _guesses(table: Table, plans: Sequence[tuple[int, ...]], column: int) -> list[Answer]:
    if not plans:
        return []
    if table.surrogate is None:
        raise UsageError(
            f"plan {list(plans[0])} is not in the table {table.name}, which has no surrogate",
            f"let its network evaluate it: --compute {table.name}",
        )
    losses, scores = table.surrogate(np.array(plans, np.int64), column)
    return [
        Answer(_rounded(loss), _rounded(score), "surrogate")
        for loss, score in zip(losses, scores, strict=True)
    ]


def _rounded(value: float) -> float:
    """Round to six digits, so that the last bits of a machine's sums decide nothing."""
    return float(f"{value:.6g}")
