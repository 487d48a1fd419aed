"""Evolution: (mu + lambda) over walks, so every child lies exactly on the budget.

A genome is the actions of a walk (Beyer and Schwefel 2002, section 4, for the scheme). A child is a
cross of two of the best, or a copy of one, with a few actions redrawn nearby.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoprune.agents.base import isolated, plans_by_loss, propose
from autoprune.agents.initial_plans import baseline_plans
from autoprune.agents.noise import truncated_normal
from autoprune.agents.random_search import random_walk
from autoprune.agents.rollouts import retrace
from autoprune.envs.walk import WalkContext, initial, plan_of, transition
from autoprune.problem.ledger import Ledger
from autoprune.problem.problem import PruningProblem
from autoprune.structure.plan import Plan

Genome = NDArray[np.float32]

PARENTS: Final = 8
"""mu; lambda is the size of a round."""

FOUNDERS: Final = 4
"""Random walks in the first generation, beside the uniform plan and the plan of least error."""

CROSSING: Final = 0.3
"""Probability that a child has two parents."""

MUTATED: Final = 0.2
"""Share of the actions that are redrawn, at least one."""

SIGMA: Final = (0.4, 0.1)
"""Standard deviation of a mutation, at the beginning and at the end."""


class Evolution:
    """Searcher by evolution: baseline plans and random walks, then children of the best so far."""

    def search(self, problem: PruningProblem, ledger: Ledger, seed: int) -> None:
        """Breed until no evaluation is left or no new plan is drawn."""
        context = WalkContext.of(problem)
        with isolated(seed) as rng:
            ledger.evaluate_all(baseline_plans(problem)[: ledger.left])
            ledger.evaluate_all(propose(ledger, lambda: random_walk(context, rng), FOUNDERS))
            while plans := propose(ledger, lambda: _child(context, ledger, rng)):
                ledger.evaluate_all(plans)


def _child(context: WalkContext, ledger: Ledger, rng: np.random.Generator) -> Plan:
    best = plans_by_loss(ledger)[:PARENTS]
    chosen = rng.integers(len(best), size=2)
    one, other = (retrace(context, best[i]).actions for i in chosen)
    genome = one.copy()
    if rng.uniform() < CROSSING:
        swapped = rng.uniform(size=len(genome)) < 0.5
        genome[swapped] = other[swapped]
    sigma = float(np.interp(ledger.count / ledger.limit, (0, 1), SIGMA))
    mutated = rng.uniform(size=len(genome)) < MUTATED
    mutated[rng.integers(len(genome))] = True
    genome[mutated] = truncated_normal(genome[mutated], sigma, rng)
    return _grown(context, genome)


def _grown(context: WalkContext, genome: Genome) -> Plan:
    state = initial(context)
    for action in genome:
        state = transition(context, state, float(action))
    return plan_of(context, state)
