"""Random feasible walks: the searcher that any learner has to beat."""

from __future__ import annotations

import numpy as np

from autoprune.agents.base import isolated, propose
from autoprune.envs.walk import WalkContext, initial, plan_of, terminal, transition
from autoprune.problem.ledger import Ledger
from autoprune.problem.problem import PruningProblem
from autoprune.structure.plan import Plan


class Random:
    """Evaluates the uniform plan, then walks whose actions are uniform in [-s, s].

    The scale s is uniform in [0, 1], anew for each walk: near-uniform plans are tried as well as
    wild ones, since without learning nothing tells which pay.
    """

    def search(self, problem: PruningProblem, ledger: Ledger, seed: int) -> None:
        """Walk until no evaluation is left or walks only repeat what was seen."""
        context = WalkContext.of(problem)
        ledger.evaluate(problem.budget.uniform())
        with isolated(seed) as rng:
            while plans := propose(ledger, lambda: random_walk(context, rng)):
                ledger.evaluate_all(plans)


def random_walk(context: WalkContext, rng: np.random.Generator) -> Plan:
    """Return the plan at the end of one random walk."""
    scale, state = rng.uniform(), initial(context)
    while not terminal(context, state):
        state = transition(context, state, float(rng.uniform(-scale, scale)))
    return plan_of(context, state)
