"""Result of a ranking: an order of each group's units, and the error at every count."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autoprune.structure.table import Branch

Curve = NDArray[np.float64]
"""Error by number of units kept, length size + 1; 0 at ``size``, non-increasing."""


class Repair(Protocol):
    """Repair of one tensor (and its bias) for the units that a plan removes."""

    @property
    def tensor(self) -> str:
        """Name of the tensor."""

    def __call__(self, plan: Mapping[str, int]) -> Mapping[str, Tensor]:
        """Return tensor name -> repaired values, dense shape."""
        ...


@dataclass(frozen=True, repr=False)
class Ranking:
    """Order in which the units of every group are removed, the errors, and the repairs.

    - ``method``: the name :func:`autoprune.ranking.rank` was asked for.
    - ``orders``: group -> LongTensor [size], most important unit first; keeping k units keeps the
      first k.
    - ``errors``: group -> float64 array [size + 1]; ``errors[k]`` is the error when k units stay. 0
      at ``size``, never increasing in k. For methods that see data, the expected rise of the loss
      (:mod:`autoprune.ranking.regression`); for others the removed share of all importance.
    - ``repairs``: one per tensor that can be repaired; empty for methods that see no data.
    - ``branches``: what may go as a whole; ``constants``: what is left then, [units], by the names
      of the constants.
    """

    method: str
    orders: Mapping[str, Tensor]
    errors: Mapping[str, Curve]
    repairs: tuple[Repair, ...] = ()
    branches: tuple[Branch, ...] = ()
    constants: Mapping[str, Tensor] = field(default_factory=dict)

    def __repr__(self) -> str:
        """Return the method and the number of groups."""
        return f"Ranking({self.method!r}, {len(self.orders)} groups)"

    def kept(self, plan: Mapping[str, int]) -> dict[str, Tensor]:
        """Return group -> ascending LongTensor of the units that stay under ``plan``."""
        return {name: self.orders[name][:count].sort().values for name, count in plan.items()}

    def weights(self, plan: Mapping[str, int]) -> dict[str, Tensor]:
        """Return tensor name -> repaired values in the dense shape; treat them as read-only.

        What is left of branches that go is among them.
        """
        gone = [branch for branch in self.branches if plan.get(branch.name) == 0]
        lost = {name for branch in gone for name in branch.tensors}
        left = [branch.removal.constant for branch in gone]
        return {
            name: value
            for repair in self.repairs
            if not lost or repair.tensor not in lost
            for name, value in repair(plan).items()
        } | {name: self.constants[name] for name in left if name in self.constants}


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
