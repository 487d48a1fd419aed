"""Search from end to end: the public ``search`` and ``autoprune search``."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from autoprune.agents.base import Searcher
from autoprune.agents.registry import check_name
from autoprune.agents.registry import searcher as make_searcher
from autoprune.cost.budget import Budget
from autoprune.envs.rewards import find_reward
from autoprune.foundation import plugins
from autoprune.foundation.logged import progress_of
from autoprune.foundation.options import Depth, Minimized
from autoprune.foundation.progress import Progress, shown_by
from autoprune.pipeline.aim import pruned_as_asked
from autoprune.pipeline.callbacks import Callback
from autoprune.pipeline.config import SearchConfig
from autoprune.pipeline.execute import check_words, execute_in_run
from autoprune.pipeline.explore import SearchOutcome, find
from autoprune.pipeline.family import Family, execute_family
from autoprune.pipeline.inputs import Inputs, from_config, from_objects, weights_hash
from autoprune.pipeline.own import Evaluate, Finetune, Own, RankFn, RewardFn
from autoprune.pipeline.result import Result
from autoprune.pipeline.session import Session
from autoprune.pipeline.tuning import Tuning
from autoprune.problem.problem import PruningProblem

Asked = TypeVar("Asked", bound=SearchConfig)


def search(
    model: nn.Module | str,
    data: object,
    budget: str | None = None,
    *,
    max_drop: float | None = None,
    minimize: Minimized | None = None,
    task: object = "classification",
    agent: str = "ddpg",
    searcher: str | Searcher | None = None,
    granularity: str = "channel",
    keep: Collection[str] | Mapping[str, float] = (),
    only: Collection[str] = (),
    ranking: str | RankFn = "regression",
    outputs: Collection[str] = (),
    sizes: Collection[str] = (),
    evaluations: int = 100,
    finetune_epochs: int = 10,
    align: int | None = None,
    depth: Depth = None,
    match: str | None = None,
    unlabeled: str | None = None,
    resize: int | None = None,
    seed: int = 0,
    device: str = "auto",
    workers: int = 1,
    reward: str | RewardFn = "loss",
    evaluate: Evaluate | None = None,
    finetune: Finetune | None = None,
    callbacks: Iterable[Callback] = (),
    timeout: float | None = None,
    run: str | Path | None = None,
    fresh: bool = False,
    progress: bool | Progress | None = True,
) -> Result:
    """Find the best plan within a budget, prune the model to it and fine-tune.

    Defaults are those of ``autoprune search``; the same call continues its run.

    - ``model``: a trained ``nn.Module`` (not changed), or ``"digits-resnet"``, trained on the spot.
    - ``data``: what :func:`autoprune.data.load_data` takes: loaders, datasets, tensors, or a name.
    - ``budget``: ``0.5flops`` (the default), ``60Mmacs``, ``2MB``, ``5ms``, ...; joined by commas,
      all must hold.
    - ``max_drop``: in place of a budget, the points of the score that may be lost on the validation
      split: the smallest network is found, by what ``minimize`` names: ``flops`` (the default),
      ``latency`` or ``params``.
    - ``task``: a name, or an object with the members of :class:`autoprune.data.task.Task`.
    - ``agent``: name of a searcher; ``searcher``: a name or an object in its place, with
      ``search(problem, ledger, seed)`` (:class:`autoprune.agents.base.Searcher`).
    - ``granularity``: ``channel`` (removed), ``weight`` or ``n:m`` (masked).
    - ``keep``: layers that stay whole, or a mapping to the least fraction of their units;
      ``only``: the only layers to prune. ``*`` is a wildcard.
    - ``outputs``: names of the model's outputs that count; ``sizes``: ints of modules that follow
      the plan (:func:`autoprune.analyze`).
    - ``ranking``: which units go first: a name, or a function of the model
      (:mod:`autoprune.ranking.own`).
    - ``evaluations``: plans that the searcher may try.
    - ``finetune_epochs``: epochs after pruning; 0 leaves fine-tuning out.
    - ``align``: keep multiples of this many units. ``resize``: pixels that images are brought to.
    - ``depth``: ``auto`` lets whole branches go, too, ``off`` decides widths only; None is ``auto``
      where latency is limited.
    - ``match``: minutes of feature matching before fine-tuning, as ``"5"``, or ``"300steps"``;
      ``unlabeled``: name of the samples to match on, by default those of training.
    - ``seed`` of everything random; ``device``: ``auto``, ``cpu``, ``cuda``, ...
    - ``workers``: processes that evaluate plans; the result does not depend on it.
    - ``reward``: what a learning agent maximizes: a name, or a function of an evaluation.
    - ``evaluate``: function from a plan's network to (loss, score), in place of loss and score of
      the task on the search split, for finalists too. It is called in this process.
    - ``finetune``: function ``(model, train, validation)`` that returns the fine-tuned model, in
      place of our training; the last two iterate over batches (:class:`autoprune.data.Loader`).
    - ``callbacks``: objects with ``on_evaluation(trial)`` or ``on_epoch(epoch)``, which may stop
      the search or the training (:class:`autoprune.Callback`).
    - ``timeout``: seconds after which no more plans are tried.
    - ``run``: directory of the run, by default in ``logs``; ``fresh``: start over.
    - ``progress``: False shows none; the logger ``autoprune`` hears of it in any case.

    Returns a Result. Raises AutopruneError for whatever can be mended.
    """
    own = Own.of(searcher or agent, ranking, reward, evaluate, finetune, callbacks, timeout)
    aim: dict[str, Any] = {"max_drop": max_drop, "minimize": minimize, "granularity": granularity}
    how: dict[str, Any] = {"align": align, "depth": depth, "match": match, "unlabeled": unlabeled}
    rest: dict[str, Any] = {"resize": resize, "seed": seed, "workers": workers, "fresh": fresh}
    config = SearchConfig(
        budget=default_budget(budget, max_drop),
        **named_layers(keep, only, outputs, sizes),
        evaluations=evaluations,
        finetune_epochs=finetune_epochs,
        device=str(device),
        run=None if run is None else str(run),
        **{**aim, **how, **rest, **own.names},
    )
    return search_with(model, data, task, config, own, progress_of(progress))


def search_with(
    model: nn.Module | str,
    data: object,
    task: object,
    config: SearchConfig,
    own: Own,
    progress: Progress,
) -> Result:
    """Search with objects of a caller's; see :func:`search`."""
    with plugins.supplied(own.objects), shown_by(progress.phase):
        budget = check_asked(config)
        inputs, config = with_caller_inputs(model, data, task, config)
        return execute_in_run(inputs, config, budget, progress, _search, own=own)


def default_budget(budget: str | None, max_drop: float | None) -> str:
    """Return the budget that a caller means: half the FLOPs, unless something else is asked."""
    if budget is None:
        return "" if max_drop is not None else "0.5flops"
    return budget


def run_search(
    config: SearchConfig, progress: Progress, tuning: Tuning | None = None
) -> Result | Family:
    """Carry out ``autoprune search``; raises AutopruneError for whatever a user can mend."""
    budget = check_asked(config)
    if config.budgets is not None:
        return execute_family(from_config(config), config, progress, find_by_agent, tuning)
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


def check_asked(config: SearchConfig) -> Budget:
    """Check the words of a search before anything is loaded; raises UsageError."""
    check_name(config.agent)
    find_reward(config.reward)
    return check_words(config)


def _search(session: Session[SearchConfig]) -> Result:
    return pruned_as_asked(find_by_agent, session)


def find_by_agent(
    session: Session[SearchConfig], model: nn.Module, problem: PruningProblem
) -> SearchOutcome:
    """Find a plan by the agent of a session."""
    config = session.config
    agent = make_searcher(config.agent, session.curves.learning, find_reward(config.reward))
    return find(agent, session, model, problem)


def _name(model: nn.Module | str, inputs: Inputs) -> str:
    if isinstance(model, str):
        return model
    return f"{type(model).__name__}@{weights_hash(model)[:8]}"
