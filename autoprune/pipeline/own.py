"""Objects of a caller's: in place of names, in place of stages, and callbacks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from torch import nn

from autoprune.agents.base import Searcher
from autoprune.agents.registry import check_searcher
from autoprune.data import Loader
from autoprune.envs.rewards import Reward, as_reward
from autoprune.errors import UsageError
from autoprune.foundation import plugins
from autoprune.pipeline.callbacks import Callback, check_callbacks
from autoprune.problem.evaluation import Evaluation

Evaluate = Callable[[nn.Module], tuple[float, float]]
"""From the compact network of a plan, in eval mode, to its loss and its score."""

Finetune = Callable[[nn.Module, Loader, Loader], nn.Module]
"""From a pruned network, training and validation batches to the fine-tuned network."""

RankFn = Callable[..., Mapping[str, Any]]
"""See :mod:`autoprune.ranking.own`."""

RewardFn = Reward | Callable[[Evaluation], float]


@dataclass(frozen=True)
class Own:
    """Objects that a caller passes to a search.

    ``names``: fields of the configuration, with a name for each object. ``objects``: those that
    take the place of registered ones, by kind and name.
    """

    evaluate: Evaluate | None = None
    finetune: Finetune | None = None
    callbacks: tuple[Callback, ...] = ()
    names: Mapping[str, Any] = field(default_factory=dict)
    objects: plugins.Objects = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        searcher: str | Searcher,
        ranking: str | RankFn,
        reward: str | RewardFn,
        evaluate: Evaluate | None = None,
        finetune: Finetune | None = None,
        callbacks: Iterable[Callback] = (),
        timeout: float | None = None,
    ) -> Self:
        """Name the objects; ``timeout`` in seconds.

        Raises UsageError, before anything is loaded, for an object that cannot be what it is
        passed as, naming what it lacks.
        """
        objects: dict[tuple[str, str], object] = {}

        def named(kind: str, thing: object) -> str:
            if isinstance(thing, str):
                return thing
            objects[kind, plugins.name_of(thing)] = thing
            return plugins.name_of(thing)

        if not isinstance(searcher, str):
            check_searcher(searcher)
        if not isinstance(reward, str):
            as_reward(reward, "reward")
        names = {
            "agent": named("searchers", searcher),
            "ranking": named("rankings", _function("ranking", ranking)),
            "reward": named("rewards", reward),
            "minutes": _minutes(timeout),
        }
        for name, function in (("evaluate", evaluate), ("finetune", finetune)):
            if function is not None:
                names[name] = plugins.name_of(_function(name, function))
        return cls(evaluate, finetune, check_callbacks(callbacks), names, objects)


NOTHING = Own()
"""What the command line passes."""


def _function(option: str, thing: object) -> object:
    if callable(thing) or (option == "ranking" and isinstance(thing, str)):
        return thing
    raise UsageError(
        f"{option} is a {type(thing).__name__}, which cannot be called", f"pass {option}=function"
    )


def _minutes(timeout: float | None) -> float | None:
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, int | float):
        raise UsageError(f"timeout must be a number of seconds, not {timeout!r}")
    if not 0 < timeout < math.inf:
        raise UsageError(
            f"timeout must be above 0 seconds, not {timeout:g}", "leave it out for no limit"
        )
    return timeout / 60
