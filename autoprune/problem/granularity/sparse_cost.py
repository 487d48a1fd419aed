"""Costs of a masked network, relative to those of the dense one."""

from __future__ import annotations

from dataclasses import dataclass, replace

from autoprune.cost.model import CostModel
from autoprune.cost.polynomial import Polynomial


@dataclass(frozen=True)
class SparseCost(CostModel):
    """Cost model of a masked network; ``whole`` is that of the dense network.

    Budgets and shares are fractions of the dense network's costs. A sparse tensor that keeps every
    weight takes more bytes than the dense tensor, because of its bitmap.
    """

    whole: CostModel | None = None

    def _count(self, name: str, cost: Polynomial) -> Polynomial:
        """Return the cost with the dense network's as its whole."""
        dense = self.whole.named(name) if self.whole else None
        return replace(cost, whole=dense.dense) if dense else cost
