"""Units of one network at a granularity: the groups, their costs and their ranking.

Budget, environment, agents and ledger work on units and never ask whether these are channels or
weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from torch import Tensor, nn

from autoprune.cost.model import CostModel
from autoprune.cost.polynomial import Cost
from autoprune.data import Samples
from autoprune.data.task import Task
from autoprune.errors import UsageError
from autoprune.problem.granularity.layout import Layout, divide, structure_of
from autoprune.problem.granularity.masking import Masking, Masks, rank_weights
from autoprune.problem.granularity.parse import Granularity
from autoprune.problem.granularity.sparse_cost import SparseCost
from autoprune.ranking.ordering import Ranking
from autoprune.ranking.rank import rank
from autoprune.structure.table import Structure


@dataclass(frozen=True)
class PruningUnits:
    """Units of a network at one granularity.

    ``structure``: how its tensors depend on each other. ``decisions``: the groups that a plan
    decides on (the same object for channels). ``cost``: cost model of a plan. ``layouts``: how
    tensors are divided, empty for channels.
    """

    granularity: Granularity
    structure: Structure
    decisions: Structure
    cost: CostModel
    layouts: tuple[Layout, ...] = ()

    @classmethod
    def of(
        cls, structure: Structure, granularity: Granularity, latency: Cost | None = None
    ) -> Self:
        """Divide a network into units; ``latency`` is that of channels, if it is known.

        Raises UsageError, with reasons, if nothing in it can be pruned at that granularity.
        """
        cost = CostModel(structure, latency=latency)
        if not granularity.masked:
            _require_groups(structure)
            return cls(granularity, structure, structure, cost)
        layouts, pinned = divide(structure, granularity)
        units = structure_of(structure, layouts, pinned)
        _require_groups(units)
        return cls(granularity, structure, units, SparseCost(units, whole=cost), layouts)

    def rank(
        self,
        model: nn.Module,
        method: str,
        *,
        task: Task | None = None,
        calibration: Samples | None = None,
        seed: int = 0,
        before: Masks | None = None,
    ) -> Ranking:
        """Rank the units of the network; see ``ranking.rank`` and ``masking.rank_weights``."""
        if self.granularity.masked:
            return rank_weights(
                model, self.layouts, self.granularity, method, seed=seed, before=before
            )
        return rank(model, self.structure, method, task=task, calibration=calibration, seed=seed)

    def masks(self, ranking: Ranking, plan: Mapping[str, int]) -> dict[str, Tensor]:
        """Return the masks under which a network of ``plan`` is trained; none for channels."""
        return ranking.masks(plan) if isinstance(ranking, Masking) else {}

    def amounts(self, plan: Mapping[str, int]) -> dict[str, tuple[int, int]]:
        """Return (present, kept) for every group, in channels or single weights."""
        weights = {x.group: (x.size, x.kept(plan[x.group])) for x in self.layouts}
        return {
            group.name: weights.get(group.name, (group.size, plan[group.name]))
            for group in self.decisions.groups
        }


def _require_groups(structure: Structure) -> None:
    if not structure.groups:
        reasons = "; ".join(f"{pin.name}: {pin.reason}" for pin in structure.pinned[:3])
        raise UsageError(
            f"nothing in the network can be pruned ({reasons or 'it has no layers with weights'})",
            "autoprune inspect lists what is pinned and why",
        )
