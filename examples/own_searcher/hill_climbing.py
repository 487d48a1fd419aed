"""A searcher in a package of its own: units move from one group to another while that helps."""

from __future__ import annotations

import numpy as np

from autoprune import Ledger, Plan, PruningProblem


class HillClimbing:
    """Takes units from a group, lets the others have what that saves, keeps what is better."""

    patience = 50

    def search(self, problem: PruningProblem, ledger: Ledger, seed: int) -> None:
        """Climb from the uniform plan until no evaluation is left or nothing new turns up."""
        rng, known = np.random.default_rng(seed), 0
        best, least = problem.budget.uniform(), ledger.evaluate(problem.budget.uniform()).loss
        while ledger.left and known < self.patience:
            plan = moved(problem, best, rng)
            known = known + 1 if plan in ledger else 0
            loss = ledger.evaluate(plan).loss
            if loss < least:
                best, least = plan, loss


def moved(problem: PruningProblem, plan: Plan, rng: np.random.Generator) -> Plan:
    """Shrink a group; fill the budget up with the others, in random order."""
    groups, counts = problem.structure.groups, problem.cost.counts(plan)
    chosen = int(rng.integers(len(groups)))
    low, high = int(problem.budget.smallest[chosen]), int(counts[chosen])
    counts[chosen] = problem.budget.round_count(chosen, rng.uniform(low, high), low, high)
    turn = {group.name: rng.uniform() + (group is groups[chosen]) for group in groups}
    return problem.budget.top_up(problem.cost.plan(counts), lambda name, _: turn[name])
