"""Ranking of the units of every group of a network, by the name of a method."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from torch import nn

from autoprune.data import Samples
from autoprune.data.task import Task
from autoprune.errors import UsageError
from autoprune.networks.execution import keep_memory, return_memory
from autoprune.networks.frozen import frozen_parameters
from autoprune.ranking.branch_effects import with_branches
from autoprune.ranking.consumers import find_consumers
from autoprune.ranking.gram import DEFAULT, RegressionConfig, collect
from autoprune.ranking.ordering import Ranking
from autoprune.ranking.own import own_ranking
from autoprune.ranking.registry import find_ranking, without_data
from autoprune.ranking.regression import refitting
from autoprune.ranking.sensitivity import sensitivities
from autoprune.structure.copies import unwrapped
from autoprune.structure.finite import require_finite
from autoprune.structure.table import BRANCH, Structure


def rank(
    model: nn.Module,
    structure: Structure,
    method: str,
    *,
    task: Task | None = None,
    calibration: Samples | None = None,
    seed: int = 0,
    config: RegressionConfig = DEFAULT,
) -> Ranking:
    """Rank the units of every group of ``structure`` by ``method``, and what branches are worth.

    ``regression`` and ``lasso`` run the model over ``calibration`` (all of it; ``config`` says
    how many patches they keep) and can repair weights, by the loss of ``task``; the others
    see weights only. ``seed`` draws
    patches and the order of ``random``. The model is not changed, and what is frozen in it is not
    repaired.

    Raises UsageError for an unknown method, missing calibration data, and weights or activations
    that are NaN or infinite.
    """
    model = unwrapped(model)
    require_finite(model)
    groups = tuple(group for group in structure.groups if group.kind != BRANCH)
    units = replace(structure, groups=groups)
    ranked = _rank_units(model, units, method, task, calibration, seed, config)
    return with_branches(ranked, model, structure, task, calibration)


def _rank_units(
    model: nn.Module,
    structure: Structure,
    method: str,
    task: Task | None,
    calibration: Samples | None,
    seed: int,
    config: RegressionConfig,
) -> Ranking:
    entry = find_ranking(method)
    if entry.own:
        return own_ranking(method, entry.load(), model, structure, task, calibration, seed)
    if not entry.needs_data:
        ranked = entry.load()(model, structure, seed)
        orders = {name: order for name, (order, _) in ranked.items()}
        return Ranking(method, orders, {name: errors for name, (_, errors) in ranked.items()})
    if task is None or calibration is None:
        raise UsageError(
            f"ranking {method!r} needs calibration data",
            f"pass task and calibration, or choose from {', '.join(without_data())}",
        )
    return_memory()
    keep_memory()
    consumers = find_consumers(model, structure)
    moments = collect(model, consumers, task, calibration, config, seed)
    read = {item.consumer.tensor for item in moments}
    sensitivity_fn = partial(
        sensitivities,
        model,
        [item for item in consumers if item.tensor in read],
        task=task,
        calibration=calibration,
        seed=seed,
    )
    ranked = refitting(method, model, structure, moments, sensitivity_fn, entry.load(), config)
    frozen = frozen_parameters(model)
    repairs = tuple(repair for repair in ranked.repairs if repair.tensor not in frozen)
    return replace(ranked, repairs=repairs)
