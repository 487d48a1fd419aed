"""Granularities: a unit is a channel that is removed, or a set of weights that are masked.

:class:`PruningUnits` are those of one network: the groups, their costs and their ranking. Whatever
decides (budget, environment, agents, ledger) works on them and never asks what a unit is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

from torch import Tensor, nn

from autoprune.cost.budget import Budget
from autoprune.cost.model import CostModel
from autoprune.cost.polynomial import Cost, Polynomial
from autoprune.cost.registry import COSTS
from autoprune.data import Split
from autoprune.data.task import Task
from autoprune.errors import UsageError
from autoprune.problem.granularity.layout import Layout, divide, structure_of
from autoprune.problem.granularity.masking import Masking, Masks, check_mask_method, rank_weights
from autoprune.problem.granularity.words import Granularity
from autoprune.ranking.ordering import Ranking
from autoprune.ranking.rank import rank
from autoprune.ranking.registry import find_ranking
from autoprune.structure.table import Structure

__all__ = [
    "Granularity",
    "Layout",
    "Masking",
    "Masks",
    "PruningUnits",
    "SparseCost",
    "check_limits",
    "check_ranking",
]


def check_ranking(granularity: Granularity, method: str) -> None:
    """Raise UsageError unless ``method`` ranks units of that granularity."""
    (check_mask_method if granularity.masked else find_ranking)(method)


def check_limits(granularity: Granularity, budget: Budget) -> None:
    """Raise UsageError for a limit on what masks do not lower, such as time on this machine."""
    for limit in budget.limits:
        if granularity.masked and not COSTS[limit.cost].sparse:
            raise UsageError(
                f"a budget of {limit} needs smaller tensors: with --granularity {granularity} the"
                " zeros stay in place and take as long as before",
                "--granularity channel, or a budget of flops, params, bytes or energy",
            )


@dataclass(frozen=True)
class SparseCost(CostModel):
    """Costs of a masked network; ``whole`` are those of the network before.

    Keeping every weight of a sparse tensor costs more bytes than the dense tensor, by its bitmap.
    What budgets and shares relate to is the dense network.
    """

    whole: CostModel | None = None

    def _count(self, name: str, cost: Polynomial) -> Polynomial:
        """Cost of a sparse network, related to that of the dense one."""
        dense = self.whole.named(name) if self.whole else None
        return replace(cost, whole=dense.dense) if dense else cost


@dataclass(frozen=True)
class PruningUnits:
    """Units of a network at one granularity.

    ``structure`` says how its tensors hang together, ``decisions`` what a plan decides on (the same
    object for channels), ``cost`` what a plan of units costs; ``layouts`` is empty for channels.
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
        """Look at a network at a granularity; ``latency`` is that of channels, if it is known.

        Raises UsageError, with reasons, if nothing in it can be pruned that way.
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
        calibration: Split | None = None,
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
        """Return for every group what there is and what stays: channels, or single weights."""
        weights = {item.group: (item.size, item.kept(plan[item.group])) for item in self.layouts}
        return {
            group.name: weights.get(group.name, (group.size, plan[group.name]))
            for group in self.decisions.groups
        }


def _require_groups(structure: Structure) -> None:
    if not structure.groups:
        reasons = "; ".join(f"{item.name}: {item.reason}" for item in structure.pinned[:3])
        raise UsageError(
            f"nothing in the network can be pruned ({reasons or 'it has no layers with weights'})",
            "autoprune inspect lists what is pinned and why",
        )
