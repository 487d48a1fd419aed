"""A policy trained in seconds, where what it learns does not matter."""

from autoprune.agents.generalist import GeneralistConfig
from autoprune.agents.policy_training import PolicyTrainingConfig
from autoprune.commands.train_policy.run import run_train_policy

QUICK = GeneralistConfig(
    walks=2,
    variants=1,
    steps=100,
    training=PolicyTrainingConfig(rounds=6, every=2, warm_up=2, steps=32),
)


def quicken(monkeypatch):
    """Let the command train such a policy, too."""
    monkeypatch.setattr(run_train_policy, "__defaults__", (QUICK,))
