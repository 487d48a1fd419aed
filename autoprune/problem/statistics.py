"""Statistics of a network's groups: inequality of the units of each."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autoprune.structure.table import Slice, Structure

STATISTICS: Final = ("norm_variation", "norm_low", "norm_top_half")
"""Names of the statistics of a group, in order."""


def weight_statistics(
    structure: Structure, tensors: Mapping[str, Tensor]
) -> dict[str, NDArray[np.float64]]:
    """Return statistics of how unequal the units of each group are, by their weights' norms.

    ``tensors``: parameters by name, such as a state dict. Returns [3] for each group, all in
    [0, 1], of the norms of producing weights scaled to mean 1: std / (1 + std), the 10 % quantile
    (at most 1), and the share of the squares that the larger half of the units holds. Zeros for
    groups without weights.
    """
    statistics = {}
    for group in structure.groups:
        producers = [part for part in structure.slices[group.name] if part.role == "out"]
        weights = [part for part in producers if tensors[part.tensor].ndim > 1]
        norms = sum((_unit_squares(part, tensors) for part in weights), torch.zeros(group.size))
        statistics[group.name] = _spread(norms.double().sqrt().numpy())
    return statistics


def error_statistics(
    errors: Mapping[str, NDArray[np.float64]],
) -> dict[str, NDArray[np.float64]]:
    """Return :func:`weight_statistics` for units that have no weights of their own.

    The contribution of a unit to an error that sums squares takes the place of its squared norm.
    ``errors``: by number of units kept, [units + 1] for each group.
    """
    return {name: _spread(np.sqrt(np.abs(np.diff(curve)))) for name, curve in errors.items()}


def _unit_squares(part: Slice, tensors: Mapping[str, Tensor]) -> Tensor:
    """Sum of squares of the weights of each unit, [units]."""
    weight = tensors[part.tensor].detach().float().cpu().movedim(part.dim, 0)
    squares = weight[part.index].square()
    return squares.reshape(len(part.index), -1).sum(dim=1)


def _spread(norms: NDArray[np.float64]) -> NDArray[np.float64]:
    total = norms.sum()
    if not (math.isfinite(total) and total > 0):
        return np.zeros(len(STATISTICS))
    norms = np.sort(norms / total * len(norms))
    squares = norms**2
    return np.array(
        [
            norms.std() / (1 + norms.std()),
            min(1.0, float(np.quantile(norms, 0.1))),
            squares[len(norms) // 2 :].sum() / squares.sum(),
        ]
    )
