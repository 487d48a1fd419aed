"""Rankings by name. A new one is a module of this room and one line of ``RANKINGS``.

Modules are imported on first use: ``autoprune --help`` lists the names without importing torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from autoprune.errors import UsageError
from autoprune.foundation import plugins
from autoprune.foundation.lazy import load_reference


@dataclass(frozen=True)
class RankingEntry:
    """Function of a ranking, as ``module:name``, and whether it needs calibration data.

    ``own``: ``function`` is the name of a plug-in or of a caller's object instead, see
    :mod:`autoprune.ranking.own`.

    With data: ``(moments, energy, structure) -> {group: order}``, see
    :mod:`autoprune.ranking.regression`, which also repairs weights and measures errors. Without:
    ``(model, structure, seed) -> {group: (order, errors)}``, see
    :mod:`autoprune.ranking.magnitude`. An order lists units from the most important on.
    """

    function: str
    needs_data: bool = False
    own: bool = False

    def load(self) -> Callable[..., Any]:
        """Import the function."""
        of_plugin = partial(plugins.find, "rankings")
        function: Callable[..., Any] = (of_plugin if self.own else load_reference)(self.function)
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
    if name in RANKINGS:
        return RANKINGS[name]
    if not plugins.known("rankings", name):
        raise UsageError(f"unknown ranking {name!r}", f"choose from {', '.join(RANKINGS)}")
    return RankingEntry(name, own=True)


def without_data() -> list[str]:
    """Names of the rankings that use weights only and repair nothing."""
    return [name for name, entry in RANKINGS.items() if not entry.needs_data]
