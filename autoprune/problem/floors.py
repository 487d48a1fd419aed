"""Floors: the least units of every group, from what the user wants to keep."""

from __future__ import annotations

import math
from collections.abc import Iterable

from autoprune.errors import UsageError
from autoprune.foundation.config import kept_layer
from autoprune.structure.layer_names import groups_of
from autoprune.structure.table import BRANCH, Structure


def floors(units: Structure, keep: Iterable[str] = (), only: Iterable[str] = ()) -> dict[str, int]:
    """Return the least units of every group of ``units``.

    ``keep``: layers, perhaps with fractions, as ``conv1`` or ``layer1.*=0.5``; the largest fraction
    counts. ``only``: layers; every group that they do not put out stays whole.

    Raises UsageError for a layer that does not exist, and if nothing is left to prune.
    """
    least = {group.name: int(group.kind != BRANCH) for group in units.groups}
    prunable = {name for layer in only for name in groups_of(units, layer)}
    if only:
        least |= {name: size for name, size in units.sizes.items() if name not in prunable}
    for layer, fraction in map(kept_layer, keep):
        for name in groups_of(units, layer):
            asked = math.ceil(fraction * units.sizes[name] - 1e-9)
            least[name] = max(least[name], asked)
    for branch in units.branches:  # what is asked to stay keeps what it is part of
        if any(least.get(name, 1) > 1 for name in branch.groups):
            least |= {name: 1 for name in (branch.name, *branch.outer) if name in least}
    if all(least[name] == size for name, size in units.sizes.items()):
        raise UsageError(
            "nothing is left to prune: --keep and --only leave every group whole",
            "autoprune inspect lists the groups",
        )
    return least
