"""Registry of searchers by name. A new one is a module of this package and a line of ``SEARCHERS``.

Modules are imported on first use: ``--agent uniform`` need not wait for stable-baselines3 to load,
and ``autoprune --help`` lists the names without importing torch.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from autoprune.errors import UsageError
from autoprune.foundation import plugins
from autoprune.foundation.lazy import load_reference
from autoprune.foundation.user_code import accepted, blamed

if TYPE_CHECKING:
    from autoprune.agents.base import OnStep, Searcher
    from autoprune.envs.rewards import Reward


@dataclass(frozen=True)
class SearcherEntry:
    """Entry of a searcher: its class as ``module:name``.

    Searchers that learn are constructed with ``on_step`` and ``reward``, others without arguments.
    ``control``: others are held against it, so it is helped by nothing.
    """

    factory: str
    learns: bool = False
    control: bool = False


SEARCHERS: Final[dict[str, SearcherEntry]] = {
    "ddpg": SearcherEntry("autoprune.agents.ddpg:DDPGSearcher", learns=True),
    "ppo": SearcherEntry("autoprune.agents.ppo:PPOSearcher", learns=True),
    "uniform": SearcherEntry("autoprune.agents.uniform:Uniform", control=True),
    "random": SearcherEntry("autoprune.agents.random_search:Random", control=True),
    "greedy": SearcherEntry("autoprune.agents.greedy:Greedy"),
    "evolution": SearcherEntry("autoprune.agents.evolution:Evolution"),
    "dp": SearcherEntry("autoprune.agents.dp:DynamicProgramming"),
}


def searcher(name: str, on_step: OnStep | None = None, reward: Reward | None = None) -> Searcher:
    """Make the searcher of that name; learners maximize ``reward`` and report to ``on_step``.

    A plug-in is a class, whose constructor gets what its signature names of these two, or an
    object. Raises UsageError for a name that is not registered, and for what is no searcher.
    """
    check_name(name)
    options: dict[str, Any] = {"on_step": on_step, "reward": reward}
    chosen = {option: value for option, value in options.items() if value is not None}
    if name not in SEARCHERS:
        return _of_plugin(name, chosen)
    entry = SEARCHERS[name]
    made: Searcher = load_reference(entry.factory)(**(chosen if entry.learns else {}))
    return made


def _of_plugin(name: str, options: dict[str, Any]) -> Searcher:
    found = plugins.find("searchers", name)
    if isinstance(found, type):
        with blamed(f"searcher {name!r} cannot be made"):
            found = found(**accepted(found, options))
    return check_searcher(found)


def check_searcher(candidate: object) -> Searcher:
    """Return ``candidate`` if it is a searcher; raise UsageError naming what it lacks."""
    if isinstance(candidate, type):
        raise UsageError(
            f"{candidate.__name__} is a class, not a searcher", f"pass {candidate.__name__}()"
        )
    if not callable(getattr(candidate, "search", None)):
        raise UsageError(
            f"{type(candidate).__name__} is not a searcher: it lacks search()",
            "a searcher has search(problem, ledger, seed)",
        )
    return cast("Searcher", candidate)


def is_control(name: str) -> bool:
    """Whether other searchers are held against this one."""
    return name in SEARCHERS and SEARCHERS[name].control


def learners() -> list[str]:
    """Names of the searchers that learn."""
    return [name for name, entry in SEARCHERS.items() if entry.learns]


def check_name(name: str, among: Collection[str] | None = None) -> None:
    """Raise UsageError unless ``name`` is one of ``among``, by default of all searchers."""
    if among is None and plugins.known("searchers", name):
        return
    known = SEARCHERS if among is None else among
    if name not in known:
        raise UsageError(f"unknown agent {name!r}", f"choose from {', '.join(known)}")
