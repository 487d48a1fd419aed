"""Searchers with little training, and a search in one call."""

from autoprune.agents.ddpg import DDPGConfig, DDPGSearcher
from autoprune.agents.ppo import PPOConfig, PPOSearcher
from autoprune.agents.registry import searcher
from autoprune.problem.ledger import Ledger

LEARNERS = {
    "ddpg": lambda **kw: DDPGSearcher(DDPGConfig(warm_up=2, gradient_steps=5), **kw),
    "ppo": lambda **kw: PPOSearcher(PPOConfig(rehearsal=8), **kw),
}


def make(name, **options):
    """A searcher, the learning ones with little training."""
    return LEARNERS[name](**options) if name in LEARNERS else searcher(name)


def search(problem, agent, evaluations, seed=0):
    ledger = Ledger(problem, evaluations)
    agent.search(problem, ledger, seed)
    return ledger
