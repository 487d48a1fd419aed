"""EagleEye (Li et al. 2020, arXiv:2007.02491, sections 3.3 and 3.4).

Strategies are drawn at random: a ratio for each group, uniformly up to a largest one; those that
meet the budget closely are evaluated with batch statistics that fit, as every evaluation here is,
and the best is taken. The paper draws a thousand.
"""

from __future__ import annotations

import numpy as np
from fractions_of import rounded

from autoprune import Ledger, Plan, PruningProblem

LARGEST = 0.7
"""Largest ratio of a group that is removed at first."""

CLOSE = 0.95
"""Least part of the budget that a strategy spends at first."""

DRAWS = 500
"""Draws after which more is allowed."""


class EagleEye:
    """Evaluates random ratios that spend the budget."""

    def search(self, problem: PruningProblem, ledger: Ledger, seed: int) -> None:
        """Draw until no evaluation is left, or nothing new turns up."""
        rng, repeats = np.random.default_rng(seed), 0
        while ledger.left and repeats < 30:
            plan = drawn(problem, rng)
            repeats = repeats + 1 if plan in ledger else 0
            ledger.evaluate(plan)


def drawn(problem: PruningProblem, rng: np.random.Generator) -> Plan:
    """Draw ratios until they meet the budget; harsher and looser ones when that takes long."""
    largest, close = LARGEST, CLOSE
    for number in range(1, 20 * DRAWS):
        ratios = rng.uniform(0, largest, len(problem.structure.groups))
        counts = rounded(problem, 1 - ratios)
        if close <= problem.budget.excess(counts) <= 1:
            return problem.cost.plan(counts)
        if number % DRAWS == 0:
            largest, close = min(1.0, largest + 0.05), close - 0.05
    return problem.budget.uniform()
