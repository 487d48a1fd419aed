"""Counts that a group may keep: multiples of its step and all of it; a branch stays or goes."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from autoprune.cost.polynomial import Counts
from autoprune.structure.table import BRANCH, Group


def allowed_counts(groups: Iterable[Group], steps: Iterable[int]) -> tuple[Counts, ...]:
    """Return the counts that each group may keep, ascending."""
    return tuple(
        np.arange(2, dtype=np.int64)
        if group.kind == BRANCH
        else np.append(np.arange(step, group.size, step, dtype=np.int64), group.size)
        for group, step in zip(groups, steps, strict=True)
    )
