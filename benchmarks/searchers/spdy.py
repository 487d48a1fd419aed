"""SPDY (Frantar and Alistarh 2022, arXiv:2201.13096, sections 3.2 and 3.3), with its own errors.

The error of a group is c * (removed share)^2 with a coefficient c in [0, 1] for each: dynamic
programming gives the plan for coefficients, and these are searched. A tenth of the evaluations
draws all of them at random; then ever fewer of the best are drawn anew. `dp` is the same search on
error curves of data.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from autoprune import Ledger, Plan, PruningProblem
from autoprune.agents.knapsack import cheapest_errors

FIRST = 0.1
"""Share of the evaluations whose coefficients are all drawn."""

CHANGED = 0.1
"""Share of the coefficients that are drawn anew at first; one at the end."""


class SPDY:
    """Searches the coefficients of quadratic errors."""

    def search(self, problem: PruningProblem, ledger: Ledger, seed: int) -> None:
        """Search until no evaluation is left or nothing new turns up."""
        rng, groups = np.random.default_rng(seed), len(problem.structure.groups)
        best, least, repeats = np.ones(groups), np.inf, 0
        while ledger.left and repeats < 100:
            done = ledger.count / ledger.limit
            tried = rng.uniform(0, 1, groups)
            if done >= FIRST:
                number = max(1, round(CHANGED * groups * (1 - done) / (1 - FIRST)))
                kept = rng.permutation(groups)[number:]
                tried[kept] = best[kept]
            plan = planned(problem, tried)
            repeats = repeats + 1 if plan in ledger else 0
            loss = ledger.evaluate(plan).loss
            if loss < least:
                best, least = tried, loss


def planned(problem: PruningProblem, coefficients: NDArray[np.float64]) -> Plan:
    """Return the plan of least error for coefficients [groups]."""
    errors = [
        c * np.linspace(1, 0, group.size + 1) ** 2
        for c, group in zip(coefficients, problem.structure.groups, strict=True)
    ]
    return cheapest_errors(problem.budget, errors, [problem.budget.uniform()])
