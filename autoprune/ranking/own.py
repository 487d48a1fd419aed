"""Rankings by a function of a caller's or of a plug-in.

The function gets the model and, by name, those of ``structure``, ``seed``, ``task`` and
``calibration`` (:class:`autoprune.data.Samples`) that its signature names. It returns for every
group either the importance of its units, a float tensor [size], or their order, most important
first, LongTensor [size], together with the error by number of units kept, [size + 1].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from autoprune.data import Samples
from autoprune.data.task import Task
from autoprune.errors import UsageError
from autoprune.foundation.user_code import accepted, blamed
from autoprune.ranking.ordering import Curve, Ranking, by_importance
from autoprune.structure.table import Group, Structure

RETURNS = "return {group.name: importance of its units, a tensor of group.size, for every group}"


def own_ranking(
    name: str,
    function: Callable[..., Any],
    model: nn.Module,
    structure: Structure,
    task: Task | None,
    calibration: Samples | None,
    seed: int,
) -> Ranking:
    """Rank the units of every group by a function that autoprune does not know.

    Raises UsageError for what is no function or raises, and for results of another form.
    """
    if not callable(function):
        raise UsageError(
            f"{type(function).__name__} is not a ranking: it cannot be called", RETURNS
        )
    options = {"structure": structure, "task": task, "calibration": calibration, "seed": seed}
    with blamed(f"ranking {name!r} fails"):
        found = function(model, **accepted(function, options))
    if not isinstance(found, Mapping):
        raise UsageError(f"ranking {name!r} returns {type(found).__name__}", RETURNS)
    missing = [group.name for group in structure.groups if group.name not in found]
    if missing:
        raise UsageError(f"ranking {name!r} says nothing of group {missing[0]!r}", RETURNS)
    ranked = {group.name: _ranked(name, group, found[group.name]) for group in structure.groups}
    return Ranking(
        name,
        {group: order for group, (order, _) in ranked.items()},
        {group: errors for group, (_, errors) in ranked.items()},
    )


def _ranked(name: str, group: Group, given: object) -> tuple[Tensor, Curve]:
    """Check the order and the errors of one group, or make them of importances."""
    where = f"ranking {name!r}, group {group.name!r}"
    if isinstance(given, tuple) and len(given) == 2:
        return _checked_order(where, group, given[0]), _checked_errors(where, group, given[1])
    with blamed(f"{where}: importances are no numbers", RETURNS):
        importance = torch.as_tensor(given).detach().double().cpu()
    if importance.shape != (group.size,) or not bool(importance.isfinite().all()):
        raise UsageError(
            f"{where}: {group.size} units, but importances of shape"
            f" {list(importance.shape)}, or some that are not finite",
            RETURNS,
        )
    return by_importance(importance - importance.min().clamp(max=0))


def _checked_order(where: str, group: Group, given: object) -> Tensor:
    with blamed(f"{where}: the order is no tensor of indices", RETURNS):
        order = torch.as_tensor(given).detach().cpu().long()
    if order.shape != (group.size,) or order.sort().values.tolist() != list(range(group.size)):
        raise UsageError(f"{where}: the order is no permutation of {group.size} units", RETURNS)
    return order


def _checked_errors(where: str, group: Group, given: object) -> Curve:
    with blamed(f"{where}: the errors are no numbers", RETURNS):
        errors = np.asarray(given, np.float64)
    shape = (group.size + 1,)
    if errors.shape != shape or not np.isfinite(errors).all() or (np.diff(errors) > 0).any():
        raise UsageError(
            f"{where}: errors by number of units kept are {group.size + 1} finite numbers that"
            " never rise and end at 0",
            RETURNS,
        )
    return np.asarray(errors - errors[-1], np.float64)
