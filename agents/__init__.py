"""Searchers, learning and not, behind one protocol and one count of evaluations."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Final, cast

from autoprune.agents.base import OnStep, Searcher, silent
from autoprune.envs.rewards import LOSS, Reward
from autoprune.errors import UsageError

__all__ = ["LEARNERS", "NAMES", "OnStep", "Searcher", "check_name", "searcher"]

# Imported on demand: stable-baselines3 takes a second that `--agent uniform` need not wait for.
_PLAIN: Final = {
    "uniform": ("autoprune.agents.uniform", "Uniform"),
    "random": ("autoprune.agents.random_search", "Random"),
    "greedy": ("autoprune.agents.greedy", "Greedy"),
    "evolution": ("autoprune.agents.evolution", "Evolution"),
    "dp": ("autoprune.agents.dp", "DynamicProgramming"),
}
_LEARNING: Final = {
    "ddpg": ("autoprune.agents.ddpg", "DDPGSearcher"),
    "ppo": ("autoprune.agents.ppo", "PPOSearcher"),
}
LEARNERS: Final = tuple(_LEARNING)
NAMES: Final = (*LEARNERS, *_PLAIN)


def searcher(name: str, on_step: OnStep = silent, reward: Reward = LOSS) -> Searcher:
    """Make the searcher of that name; learners maximize ``reward`` and report to ``on_step``.

    Raises UsageError for a name that is not in ``NAMES``.
    """
    check_name(name)
    if name in _PLAIN:
        return cast(Searcher, _load(*_PLAIN[name])())
    return cast(Searcher, _load(*_LEARNING[name])(on_step=on_step, reward=reward))


def check_name(name: str, among: Sequence[str] = NAMES) -> None:
    """Raise UsageError unless ``name`` is one of these."""
    if name not in among:
        raise UsageError(f"unknown agent {name!r}", f"choose from {', '.join(among)}")


def _load(module: str, attribute: str) -> type:
    return cast(type, getattr(import_module(module), attribute))
