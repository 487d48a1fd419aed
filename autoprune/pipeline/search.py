"""Search from end to end: the public ``search`` and ``autoprune search``."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from autoprune.agents.registry import check_name, searcher
from autoprune.cost.budget import Budget
from autoprune.envs.rewards import find_reward
from autoprune.foundation.progress import Progress, Silent
from autoprune.pipeline.config import SearchConfig
from autoprune.pipeline.execute import check_words, execute_in_run, prune_by
from autoprune.pipeline.explore import find
from autoprune.pipeline.inputs import Inputs, from_config, from_objects, weights_hash
from autoprune.pipeline.result import Result
from autoprune.pipeline.session import Session
from autoprune.pipeline.tuning import Tuning

Asked = TypeVar("Asked", bound=SearchConfig)


def search(
    model: nn.Module | str,
    data: object,
    budget: str = "0.5flops",
    *,
    task: object = "classification",
    agent: str = "ddpg",
    granularity: str = "channel",
    keep: Collection[str] | Mapping[str, float] = (),
    only: Collection[str] = (),
    outputs: Collection[str] = (),
    sizes: Collection[str] = (),
    ranking: str = "regression",
    evaluations: int = 100,
    finetune_epochs: int = 10,
    align: int | None = None,
    resize: int | None = None,
    seed: int = 0,
    device: str = "auto",
    workers: int = 1,
    reward: str = "loss",
    run: str | Path | None = None,
    fresh: bool = False,
    progress: Progress | None = None,
) -> Result:
    """Find the best plan within a budget, prune the model to it and fine-tune.

    ``model`` is a trained ``nn.Module`` (not changed) or ``"digits-resnet"``; ``data`` what
    :func:`autoprune.data.load_data` takes; ``keep`` may be a mapping to least fractions. All others
    are options of the command; the same call continues its ``run``. Raises AutopruneError.
    """
    config = SearchConfig(
        budget=budget,
        agent=agent,
        granularity=granularity,
        **named_layers(keep, only, outputs, sizes),
        ranking=ranking,
        evaluations=evaluations,
        finetune_epochs=finetune_epochs,
        align=align,
        resize=resize,
        seed=seed,
        device=str(device),
        workers=workers,
        reward=reward,
        run=None if run is None else str(run),
        fresh=fresh,
    )
    limits, (inputs, config) = _check(config), with_caller_inputs(model, data, task, config)
    return execute_in_run(inputs, config, limits, progress or Silent(), _search)


def run_search(config: SearchConfig, progress: Progress, tuning: Tuning | None = None) -> Result:
    """Carry out ``autoprune search``; raises AutopruneError for whatever a user can mend."""
    budget = _check(config)
    return execute_in_run(from_config(config), config, budget, progress, _search, tuning)


def with_caller_inputs(
    model: nn.Module | str, data: object, task: object, config: Asked
) -> tuple[Inputs, Asked]:
    """Load the objects that a caller passes, and name them in the configuration."""
    inputs = from_objects(model, data, task, config)
    named = data if isinstance(data, str) else f"{inputs.data.name}@{inputs.data.fingerprint}"
    name = _name(model, inputs)
    return inputs, replace(config, model=name, data=named, task=inputs.task.name)


def named_layers(
    keep: Collection[str] | Mapping[str, float],
    only: Collection[str],
    outputs: Collection[str],
    sizes: Collection[str],
) -> dict[str, Any]:
    """Return layers to keep or prune, outputs and sizes as the command line takes them."""
    if isinstance(keep, Mapping):
        keep = [f"{layer}={fraction}" for layer, fraction in keep.items()]
    texts = {"keep": keep, "only": only, "outputs": outputs, "sizes": sizes}
    return {
        name: (value,) if isinstance(value, str) else tuple(value) for name, value in texts.items()
    }


def _check(config: SearchConfig) -> Budget:
    check_name(config.agent)
    find_reward(config.reward)
    return check_words(config)


def _search(session: Session[SearchConfig]) -> Result:
    config = session.config
    agent = searcher(config.agent, session.curves.learning, find_reward(config.reward))
    return prune_by(partial(find, agent), session)


def _name(model: nn.Module | str, inputs: Inputs) -> str:
    if isinstance(model, str):
        return model
    return f"{type(model).__name__}@{weights_hash(model)[:8]}"
