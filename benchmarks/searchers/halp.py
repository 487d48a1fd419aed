"""HALP (Shen et al. 2022, arXiv:2110.10811) and MDP (Sun et al. 2024, arXiv:2406.12079).

Both solve a knapsack of additive importances against a table of costs once, HALP over widths, MDP
over widths and blocks, and evaluate nothing on the way. Importances are the table's error curves;
with the weights at hand, the papers estimate them anew as training goes on.
"""

from __future__ import annotations

from autoprune import Ledger, PruningProblem
from autoprune.agents.initial_plans import least_error


class HALP:
    """Evaluates the knapsack's plan, and no other."""

    def search(self, problem: PruningProblem, ledger: Ledger, seed: int) -> None:
        """Solve the knapsack; ``seed`` changes nothing."""
        ledger.evaluate(least_error(problem))
