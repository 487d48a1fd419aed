"""Dynamic programming over the groups' error curves, refined by evaluations.

The knapsack assumes that errors add up and matter equally. Per-group coefficients on the curves
correct for both. They are searched by evaluating the plans that they give: first at random, then by
changing fewer and fewer of the best (SPDY, Frantar and Alistarh 2022, arXiv:2201.13096, section
3.3).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoprune.agents.base import isolated, plans_by_loss, propose
from autoprune.agents.depth_plans import gone_like
from autoprune.agents.initial_plans import baseline_plans, least_error
from autoprune.problem.ledger import Ledger
from autoprune.problem.problem import PruningProblem
from autoprune.structure.plan import Plan

SPREAD: Final = 0.4
"""Standard deviation of the logarithm of a coefficient."""

EXPLORING: Final = 0.3
"""Share of the evaluations for which all coefficients are drawn independently."""


class DynamicProgramming:
    """Searcher by dynamic programming: the plan of least error, then other coefficients."""

    def search(self, problem: PruningProblem, ledger: Ledger, seed: int) -> None:
        """Refine the coefficients until no evaluation is left or no new plan is drawn."""
        with isolated(seed) as rng:
            plans = baseline_plans(problem)
            ledger.evaluate_all([*plans[1:2], *plans[:1], *plans[2:]][: ledger.left])
            refinement = _Refinement(problem, ledger, rng, {})
            while plans := propose(ledger, refinement.draw):
                ledger.evaluate_all(plans)


@dataclass
class _Refinement:
    problem: PruningProblem
    ledger: Ledger
    rng: np.random.Generator
    tried: dict[Plan, NDArray[np.float64]]
    """Logarithms of the coefficients that first led to a plan."""

    def draw(self) -> Plan:
        """Draw coefficients and return their plan."""
        groups, best = len(self.problem.structure.groups), plans_by_loss(self.ledger)[0]
        done = self.ledger.count / self.ledger.limit
        logs = np.zeros(groups)
        if done < EXPLORING:
            logs = self.rng.normal(0, SPREAD, groups)
        else:
            logs = self.tried.get(best, logs).copy()
            left = (1 - done) / (1 - EXPLORING)
            changed = self.rng.choice(groups, max(1, round(groups / 2 * left)), replace=False)
            logs[changed] = self.rng.normal(0, SPREAD, len(changed))
        plan = least_error(self.problem, np.exp(logs), gone_like(self.problem, best, self.rng))
        self.tried.setdefault(plan, logs)
        return plan
