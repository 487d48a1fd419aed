"""Rankings by name. A new one is a module of this room and one line of ``RANKINGS``.

Modules are imported on first use: ``autoprune --help`` lists the names without importing torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from autoprune.errors import UsageError
from autoprune.foundation.lazy import load_reference


@dataclass(frozen=True)
class RankingEntry:
    """Function of a ranking, as ``module:name``, and whether it needs calibration data.

    With data: ``(moments, energy, structure) -> {group: order}``, see
    :mod:`autoprune.ranking.regression`, which also repairs weights and measures errors. Without:
    ``(model, structure, seed) -> {group: (order, errors)}``, see
    :mod:`autoprune.ranking.magnitude`. An order lists units from the most important on.
    """

    function: str
    needs_data: bool = False

    def load(self) -> Callable[..., Any]:
        """Import the function."""
        function: Callable[..., Any] = load_reference(self.function)
        return function


RANKINGS: Final[dict[str, RankingEntry]] = {
    "regression": RankingEntry("autoprune.ranking.regression:eliminated", needs_data=True),
    "lasso": RankingEntry("autoprune.ranking.lasso:lasso_orders", needs_data=True),
    "l1": RankingEntry("autoprune.ranking.magnitude:l1"),
    "l2": RankingEntry("autoprune.ranking.magnitude:l2"),
    "bn-scale": RankingEntry("autoprune.ranking.magnitude:bn_scale"),
    "random": RankingEntry("autoprune.ranking.magnitude:random"),
}


def find_ranking(name: str) -> RankingEntry:
    """Return the ranking of that name; raise UsageError if there is none."""
    if name not in RANKINGS:
        raise UsageError(f"unknown ranking {name!r}", f"choose from {', '.join(RANKINGS)}")
    return RANKINGS[name]


def without_data() -> list[str]:
    """Names of the rankings that use weights only and repair nothing."""
    return [name for name, entry in RANKINGS.items() if not entry.needs_data]
