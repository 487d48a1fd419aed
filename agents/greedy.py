"""Greedy search in the manner of NetAdapt, along the budget instead of toward it.

NetAdapt (Yang et al. 2018, arXiv:1804.03230, algorithm 1) shrinks one layer at a time by a given
cost, tries every layer, and continues from the best. Here every plan lies on the budget, so the
cost that one group frees goes to the others in proportion.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from typing import Final

from autoprune.agents.base import plans_by_loss
from autoprune.problem.ledger import Ledger, OutOfEvaluations
from autoprune.problem.problem import PruningProblem
from autoprune.structure.plan import Plan

STEP: Final = 0.25
"""Share of a group that the first round removes; halved whenever a round brings no improvement."""


class Greedy:
    """Greedy searcher: from the uniform plan, tries every group and continues from the best."""

    def search(self, problem: PruningProblem, ledger: Ledger, seed: int) -> None:
        """Search until no evaluation is left or no step gives a new plan; nothing is random."""
        del seed
        ledger.evaluate(problem.budget.uniform())
        step, tried = STEP, set[tuple[Plan, float]]()
        try:
            while step > 1e-4:
                plan = next((p for p in plans_by_loss(ledger) if (p, step) not in tried), None)
                best = plans_by_loss(ledger)[0]
                if plan is not None:
                    tried.add((plan, step))
                    ledger.evaluate_all(_proposals(problem, plan, step))
                if plans_by_loss(ledger)[0] == best:
                    step /= 2
        except OutOfEvaluations:
            pass


def _proposals(problem: PruningProblem, plan: Plan, step: float) -> Iterator[Plan]:
    """Yield the plans with one group shrunk, for every group that can lose units."""
    budget = problem.budget
    for group, choices in zip(problem.structure.groups, budget.choices, strict=True):
        smaller = choices[choices <= plan[group.name] - max(1, round(step * plan[group.name]))]
        if len(smaller):
            shrunk = Plan.of({**plan, group.name: int(smaller[-1])})

            def grown(name: str, count: int, last: str = group.name) -> float:
                return inf if name == last else count / max(plan[name], 1)

            yield budget.top_up(shrunk, grown)
