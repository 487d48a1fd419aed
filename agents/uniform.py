"""Uniform plan as a searcher: the same keep fraction everywhere, exactly on the budget."""

from __future__ import annotations

from autoprune.problem.ledger import Ledger
from autoprune.problem.problem import PruningProblem


class Uniform:
    """Searcher that evaluates one plan, ``BoundBudget.uniform``."""

    def search(self, problem: PruningProblem, ledger: Ledger, seed: int) -> None:
        """Spend one evaluation; nothing is random."""
        del seed
        ledger.evaluate(problem.budget.uniform())
