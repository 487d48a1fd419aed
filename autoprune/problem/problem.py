"""Pruning problem: a network's groups, costs and error curves, a budget, and a scorer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from autoprune.cost.bound_budget import BoundBudget
from autoprune.cost.model import CostModel
from autoprune.problem.evaluation import Evaluation
from autoprune.problem.scorer import Scorer
from autoprune.ranking.ordering import Ranking
from autoprune.structure.plan import Plan
from autoprune.structure.table import Structure


@dataclass(frozen=True, repr=False)
class PruningProblem:
    """Problem that a searcher solves: groups, cost, budget, error curves and a scorer.

    ``statistics``: :func:`autoprune.problem.statistics.weight_statistics` of the model, or empty.
    ``first``: plans to evaluate before a searcher's own, which searches at other budgets suggest.
    """

    structure: Structure
    cost: CostModel
    budget: BoundBudget
    ranking: Ranking
    scorer: Scorer
    statistics: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    first: tuple[Plan, ...] = ()

    def __repr__(self) -> str:
        """Return groups and budget."""
        groups = len(self.structure.groups)
        return f"{type(self).__name__}({groups} groups, budget {self.budget.name})"

    def evaluate(self, plan: Plan) -> Evaluation:
        """Score one plan on all samples; nothing counts or caches it."""
        return next(iter(self.scorer.score([plan])))
