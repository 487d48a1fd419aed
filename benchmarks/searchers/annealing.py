"""Simulated annealing of keep fractions (AutoCompress, Liu et al. 2020, arXiv:1907.03141, 4.2).

Fractions are disturbed, less and less, and scaled to the budget; a worse plan is accepted with
probability exp(-rise / temperature). The temperature falls geometrically, in units of the loss of
the first plan; NNI's pruner, with temperatures of 100 to 20 for accuracies, accepts every plan.
"""

from __future__ import annotations

import numpy as np
from fractions_of import fractions, on_budget

from autoprune import Ledger, PruningProblem

HOT, COLD = 0.1, 0.001
"""Temperatures at the beginning and at the end, as a part of the first loss."""

DISTURBED = 0.35
"""Largest change of a fraction at the beginning; it falls with the root of the temperature."""


class Annealing:
    """Anneals keep fractions, from the uniform plan."""

    def search(self, problem: PruningProblem, ledger: Ledger, seed: int) -> None:
        """Anneal until no evaluation is left or nothing new turns up."""
        rng, groups, repeats = np.random.default_rng(seed), len(problem.structure.groups), 0
        now = problem.budget.uniform()
        loss = first = ledger.evaluate(now).loss
        while ledger.left and repeats < 100:
            heat = HOT * (COLD / HOT) ** (ledger.count / ledger.limit)
            change = DISTURBED * np.sqrt(heat / HOT)
            kept = fractions(problem, now) + rng.uniform(-change, change, groups)
            plan = on_budget(problem, np.clip(kept, 0.02, 1.0))
            repeats = repeats + 1 if plan in ledger else 0
            found = ledger.evaluate(plan).loss
            if found <= loss or rng.uniform() < np.exp((loss - found) / (heat * first)):
                now, loss = plan, found
