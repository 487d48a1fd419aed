"""Random search over feasible walks: the baseline of every learner."""

from __future__ import annotations

import numpy as np

from autoprune.agents.base import isolated, propose
from autoprune.envs.walk import WalkContext, initial, plan_of, terminal, transition
from autoprune.problem.ledger import Ledger
from autoprune.problem.problem import PruningProblem
from autoprune.structure.plan import Plan


class Random:
    """Random searcher: the uniform plan, then walks with actions uniform in [-s, s].

    The scale s is drawn for each walk, uniformly in [0, 1], so plans near the uniform one are tried
    as well as extreme ones.
    """

    def search(self, problem: PruningProblem, ledger: Ledger, seed: int) -> None:
        """Walk until no evaluation is left or walks only repeat evaluated plans."""
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
