"""NetAdapt (Yang et al. 2018, arXiv:1804.03230, algorithm 1).

From the dense network, the cost falls by the same amount in every round: each group is shrunk alone
by that amount, all proposals are evaluated, the best stays. Where it differs: plans over the budget
cannot be evaluated, so a proposal is scaled down to the budget for that; and there is no short
fine-tuning. Rounds: as many as the evaluations allow.
"""

from __future__ import annotations

import numpy as np
from fractions_of import on_budget, sizes

from autoprune import Ledger, PruningProblem


class NetAdapt:
    """Shrinks the group that costs least loss, round after round; nothing is random."""

    def search(self, problem: PruningProblem, ledger: Ledger, seed: int) -> None:
        """Go from the dense plan to the budget."""
        del seed
        ledger.evaluate(problem.budget.uniform())
        counts, limit = problem.budget.largest.copy(), problem.budget.constraints[0]
        rounds = max(1, (ledger.limit - 1) // len(counts))
        for number in range(1, rounds + 1):
            share = limit.fraction ** (number / rounds)
            proposals = []
            for group, choices in enumerate(problem.budget.choices):
                costs = limit.cost.along(counts, group, choices)
                fitting = np.flatnonzero(
                    (costs <= share * limit.cost.dense) | (choices == choices[0])
                )
                fitting = fitting[choices[fitting] < counts[group]]
                if len(fitting):
                    shrunk = counts.copy()
                    shrunk[group] = choices[fitting[-1]]
                    proposals.append(shrunk)
            if not proposals:
                return
            plans = [on_budget(problem, shrunk / sizes(problem)) for shrunk in proposals]
            losses = [found.loss for found in ledger.evaluate_all(plans)]
            counts = proposals[int(np.argmin(losses))]
