"""Result of a ranking: an order of each group's units, and the error at every count."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Curve = NDArray[np.float64]
"""Error by number of units kept, length size + 1; 0 at ``size``, non-increasing."""


class Repair(Protocol):
    """Repair of one tensor (and its bias) for the units that a plan removes."""

    def __call__(self, plan: Mapping[str, int]) -> Mapping[str, Tensor]:
        """Return tensor name -> repaired values, dense shape."""
        ...


@dataclass(frozen=True)
class Ranking:
    """Order in which the units of every group are removed, the errors, and the repairs.

    - ``method``: the name :func:`autoprune.ranking.rank` was asked for.
    - ``orders``: group -> LongTensor [size], most important unit first; keeping k units keeps the
      first k.
    - ``errors``: group -> float64 array [size + 1]; ``errors[k]`` is the error when k units stay. 0
      at ``size``, never increasing in k. For methods that see data, the expected rise of the loss
      (:mod:`autoprune.ranking.regression`); for others the removed share of all importance.
    - ``repairs``: one per tensor that can be repaired; empty for methods that see no data.
    """

    method: str
    orders: Mapping[str, Tensor]
    errors: Mapping[str, Curve]
    repairs: tuple[Repair, ...] = ()

    def kept(self, plan: Mapping[str, int]) -> dict[str, Tensor]:
        """Return group -> ascending LongTensor of the units that stay under ``plan``."""
        return {name: self.orders[name][:count].sort().values for name, count in plan.items()}

    def weights(self, plan: Mapping[str, int]) -> dict[str, Tensor]:
        """Return tensor name -> repaired values in the dense shape; treat them as read-only."""
        return {name: value for repair in self.repairs for name, value in repair(plan).items()}


def by_importance(importance: Tensor) -> tuple[Tensor, Curve]:
    """Order units by importance [size], ties by index; the error is the share that is lost."""
    values, order = importance.double().cpu().sort(descending=True, stable=True)
    return order, curve(values.flip(0))


def curve(costs: Tensor) -> Curve:
    """Turn the costs [size] of removing units, first removed first, into relative errors.

    Costs are taken relative to their sum; where that is 0 nothing is lost at any count.
    """
    total = float(costs.sum())
    return accumulate(costs / total if total > 0 else torch.zeros_like(costs))


def accumulate(costs: Tensor) -> Curve:
    """Turn costs [size] of removing units, first removed first, into errors by count."""
    lost = costs.double().clamp(min=0).cumsum(0).flip(0).cpu().numpy()
    return np.append(lost, 0.0)
