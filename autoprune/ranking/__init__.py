"""Rankings: the order in which a group's units go, the error left after each, and the repair."""

from __future__ import annotations

from functools import partial

from torch import nn

from autoprune.data import Split
from autoprune.data.task import Task
from autoprune.errors import UsageError
from autoprune.ranking import magnitude
from autoprune.ranking.consumers import find_consumers
from autoprune.ranking.gram import DEFAULT, RegressionConfig, collect
from autoprune.ranking.lasso import lasso_order
from autoprune.ranking.ordering import Ranking
from autoprune.ranking.regression import refitting
from autoprune.ranking.sensitivity import sensitivities
from autoprune.structure.finite import require_finite
from autoprune.structure.table import Structure

__all__ = ["METHODS", "WITHOUT_DATA", "Ranking", "RegressionConfig", "check_method", "rank"]

_BY_WEIGHTS = {
    "l1": magnitude.l1,
    "l2": magnitude.l2,
    "bn-scale": magnitude.bn_scale,
    "random": magnitude.random,
}
_BY_DATA = {"regression": None, "lasso": lasso_order}

WITHOUT_DATA = tuple(_BY_WEIGHTS)
"""Methods that use weights only and repair nothing."""

METHODS = (*_BY_DATA, *_BY_WEIGHTS)
"""Names that :func:`rank` knows."""


def rank(
    model: nn.Module,
    structure: Structure,
    method: str,
    *,
    task: Task | None = None,
    calibration: Split | None = None,
    seed: int = 0,
    config: RegressionConfig = DEFAULT,
) -> Ranking:
    """Rank the units of every group of ``structure`` by ``method``.

    ``regression`` and ``lasso`` run the model over ``calibration`` (all of it; ``config`` says
    how many patches they keep) and can repair weights; the others see weights only. ``seed`` draws
    patches and the order of ``random``. The model is not changed.

    Raises UsageError for an unknown method, missing calibration data, and weights or activations
    that are NaN or infinite.
    """
    check_method(method)
    require_finite(model)
    if method in _BY_WEIGHTS:
        ranked = _BY_WEIGHTS[method](model, structure, seed)
        orders = {name: order for name, (order, _) in ranked.items()}
        return Ranking(method, orders, {name: errors for name, (_, errors) in ranked.items()})
    if task is None or calibration is None:
        raise UsageError(
            f"ranking {method!r} needs calibration data",
            f"pass task and calibration, or choose from {', '.join(WITHOUT_DATA)}",
        )
    consumers = find_consumers(model, structure)
    moments = collect(model, consumers, task, calibration, config, seed)
    read = {one.consumer.tensor for one in moments}
    sensitivity_fn = partial(
        sensitivities,
        model,
        [one for one in consumers if one.tensor in read],
        task=task,
        calibration=calibration,
        seed=seed,
    )
    return refitting(method, model, structure, moments, sensitivity_fn, _BY_DATA[method], config)


def check_method(method: str) -> None:
    """Raise UsageError unless ``method`` is one of ``METHODS``."""
    if method not in METHODS:
        raise UsageError(f"unknown ranking {method!r}", f"choose from {', '.join(METHODS)}")
