"""EvoPress (Sieberling et al. 2024, arXiv:2410.14649, algorithm 1): level switches, one parent.

A child is the parent with a few switches: one group goes down a level and another up one. The best
of a generation's children replaces a worse parent. Evaluations here are exact, so that children are
not selected in rounds of growing samples. A level is a step of a group's width; since steps cost
differently, what is left of the budget is filled up.
"""

from __future__ import annotations

import numpy as np

from autoprune import Ledger, Plan, PruningProblem

CHILDREN = 8
"""Children of a generation."""

SWITCHES = 3
"""Most switches of a child: the smaller of two draws up to it."""


class EvoPress:
    """Evolves one plan by level switches, from the uniform one."""

    def search(self, problem: PruningProblem, ledger: Ledger, seed: int) -> None:
        """Evolve until no evaluation is left or children only repeat plans."""
        rng, repeats = np.random.default_rng(seed), 0
        parent = problem.budget.uniform()
        least = ledger.evaluate(parent).loss
        while ledger.left and repeats < 20:
            children = [switched(problem, parent, rng) for _ in range(CHILDREN)]
            new = list(dict.fromkeys(child for child in children if child not in ledger))
            repeats = 0 if new else repeats + 1
            for child, found in zip(new, ledger.evaluate_all(new[: ledger.left]), strict=False):
                if found.loss < least:
                    parent, least = child, found.loss


def switched(problem: PruningProblem, plan: Plan, rng: np.random.Generator) -> Plan:
    """Return a plan with some groups a level lower and others a level higher."""
    budget, counts = problem.budget, problem.budget.counts(plan)
    places = [int(np.searchsorted(c, k)) for c, k in zip(budget.choices, counts, strict=True)]
    for _ in range(int(min(rng.integers(1, SWITCHES + 1, 2)))):
        down, up = (int(group) for group in rng.choice(len(places), 2, replace=len(places) < 2))
        places[down] = max(places[down] - 1, 0)
        places[up] = min(places[up] + 1, len(budget.choices[up]) - 1)
    while True:
        counts = np.array([c[at] for c, at in zip(budget.choices, places, strict=True)], np.int64)
        if budget.fits(counts):
            break
        lower = [group for group, place in enumerate(places) if place]
        places[int(rng.choice(lower))] -= 1
    turn = dict(zip(problem.structure.sizes, rng.permutation(len(places)), strict=True))
    return budget.top_up(problem.cost.plan(counts), lambda name, _: float(turn[name]))
