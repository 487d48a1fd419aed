"""AMC (He et al. 2018, arXiv:1802.03494): DDPG, every plan of the actor is evaluated.

A walk over the groups, one action each; the reward of its plan goes to all of its steps; actions
are drawn from a truncated normal distribution around the actor's, which narrows. No initial plans
of others, no imagined walks, no knapsack: `ddpg` without its additions (docs/agent.md). Where it
differs from the paper: the observation and the loss as reward are those of autoprune, and every
plan lies on the budget. The paper takes 400 walks, a quarter of them random.
"""

from __future__ import annotations

from autoprune import Ledger, PruningProblem
from autoprune.agents.ddpg import DDPGConfig, DDPGSearcher


class AMC:
    """Learns from evaluated walks only."""

    def search(self, problem: PruningProblem, ledger: Ledger, seed: int) -> None:
        """Walk and learn until no evaluation is left."""
        config = DDPGConfig(seeded=False, knapsack=False, imagine=False)
        DDPGSearcher(config).search(problem, ledger, seed)
