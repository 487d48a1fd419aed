"""Errors that repaired weights leave in a layer's outputs, and their size."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from autoprune.networks.padding import tokens_in
from autoprune.ranking.consumers import CONVS
from autoprune.ranking.gram import precise

_SURE: Final = 1e-20
"""Sums of squares from this to its reciprocal have lost nothing in float32."""


@torch.no_grad()
def output_error(
    module: nn.Module,
    value: Tensor,
    outputs: Tensor,
    repaired: Tensor | None,
    least_error: float,
) -> tuple[Tensor, float]:
    """Return the error that repaired weights make in a layer's outputs, and its relative size.

    Means by channel are left out: the repaired bias, or a batch norm, absorbs them.
    """
    variation = _centered(module, outputs)
    if repaired is not None and isinstance(module, (*CONVS, nn.Linear)):
        change = repaired - module.weight
        raw = (
            F.linear(value, change)
            if isinstance(module, nn.Linear)
            else module._conv_forward(value, change, None)
        )
        error = _centered(module, raw)
        if (size := _ratio(error, variation)) > least_error:
            return error, size
    return variation, 1.0


def _ratio(error: Tensor, variation: Tensor) -> float:
    """Return the squared error over the squared variation; 0 divided by 0 is NaN."""
    part, whole = _squares(error), _squares(variation)
    if not _SURE < float(whole) < 1 / _SURE:
        part, whole = _squares(precise(error)), _squares(precise(variation))
    return float(part / whole)


def _squares(value: Tensor) -> Tensor:
    """Return the sum of squares, by parts that lie together: as exact, and nothing is stored."""
    last = 1 if value.ndim == 4 and value.stride(1) == 1 else -1
    norms: Tensor = torch.linalg.vector_norm(value, dim=last)
    return norms.square().sum()


def _centered(module: nn.Module, value: Tensor) -> Tensor:
    """Return values with the mean of every channel taken off, in float32; 0 for padding."""
    channel = value.ndim - 1
    if isinstance(module, CONVS):
        channel -= len(module.kernel_size)
    original, value = value, value.float()
    rest = [at for at in range(value.ndim) if at != channel]
    tokens = tokens_in(value)
    if tokens is None:
        mean = value.mean(rest, keepdim=True)
        return value - mean if value is original else value.sub_(mean)
    there = tokens.view(*tokens.shape, *(1,) * (value.ndim - tokens.ndim))
    each = value.numel() // (tokens.numel() * value.shape[channel])
    mean = (value * there).sum(rest, keepdim=True) / (there.sum() * each).clamp_min(1)
    return (value - mean) * there
