"""Networks of a plan: compact (really smaller) or masked (of the dense shapes, with zeros)."""

from __future__ import annotations

from torch import nn

from autoprune.errors import UsageError
from autoprune.ranking.ordering import Ranking
from autoprune.ranking.rank import rank
from autoprune.ranking.registry import find_ranking
from autoprune.structure.plan import Plan
from autoprune.structure.slicing import Slicer
from autoprune.structure.table import Structure


def prune(
    model: nn.Module, structure: Structure, plan: Plan, ranking: str | Ranking = "l1"
) -> nn.Module:
    """Return an independent compact network that keeps ``plan[group]`` units of every group.

    ``ranking`` says which units stay: the name of a criterion that needs no data (``l1``, ``l2``,
    ``bn-scale``, ``random``) or a :class:`Ranking`, whose repaired weights are used. Mode, device,
    dtype, gradient flags and ties of the model are kept; the model itself is not changed.

    Raises UsageError if the plan does not fit the structure or the criterion needs data.
    """
    plan.check(structure)
    slicer = Slicer(model, structure)
    chosen = _ranking(model, structure, ranking)
    return slicer.build(chosen.kept(plan), chosen.weights(plan))


def mask(
    model: nn.Module, structure: Structure, plan: Plan, ranking: str | Ranking = "l1"
) -> nn.Module:
    """Return an independent network of the dense shapes with the outputs of ``prune``'s.

    The parameters of removed units are zero; ``ranking`` as there. Exact except where a layer or
    group norm runs over a pruned dimension (``verify(...).renormalized`` names these groups): its
    statistics differ.
    """
    plan.check(structure)
    slicer = Slicer(model, structure)
    chosen = _ranking(model, structure, ranking)
    return slicer.masked(chosen.kept(plan), chosen.weights(plan))


def _ranking(model: nn.Module, structure: Structure, ranking: str | Ranking) -> Ranking:
    if isinstance(ranking, Ranking):
        return ranking
    if find_ranking(ranking).needs_data:
        raise UsageError(
            f"ranking {ranking!r} needs calibration data",
            "pass autoprune.rank(model, structure, method, task=..., calibration=...)",
        )
    return rank(model, structure, ranking)
