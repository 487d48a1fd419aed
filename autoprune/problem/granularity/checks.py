"""Checks of a granularity against ranking and budget, before anything is computed."""

from __future__ import annotations

from autoprune.cost.budget import Budget
from autoprune.cost.registry import COSTS
from autoprune.errors import UsageError
from autoprune.problem.granularity.masking import check_mask_method
from autoprune.problem.granularity.parse import Granularity
from autoprune.ranking.registry import find_ranking


def check_ranking(granularity: Granularity, method: str) -> None:
    """Raise UsageError unless ``method`` ranks units of that granularity."""
    (check_mask_method if granularity.masked else find_ranking)(method)


def check_limits(granularity: Granularity, budget: Budget) -> None:
    """Raise UsageError for a limit on a cost that masks do not lower, such as latency."""
    for limit in budget.limits:
        if granularity.masked and not COSTS[limit.cost].sparse:
            raise UsageError(
                f"a budget of {limit} needs smaller tensors: with --granularity {granularity} the"
                " zeros stay in place and take as long as before",
                "--granularity channel, or a budget of flops, params, bytes or energy",
            )
