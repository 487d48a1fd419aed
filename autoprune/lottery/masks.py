"""Masks of single weights: magnitude pruning, layer by layer or over all layers at once.

A mask is a bool tensor of its weight's shape, True where the weight stays; masks come by parameter
name, in the model's order.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import Tensor, nn

from autoprune.errors import UsageError

Masks = dict[str, Tensor]


def full(model: nn.Module) -> Masks:
    """Return masks that keep everything, of weights with two or more dimensions.

    Biases and the parameters of norms are never pruned. Raises UsageError if no weight is left.
    """
    masks = {
        name: torch.ones(value.shape, dtype=torch.bool)
        for name, value in model.named_parameters()
        if value.ndim > 1
    }
    if not masks:
        raise UsageError("the network has no weight of two or more dimensions to prune")
    return masks


def output_layer(masks: Mapping[str, Tensor]) -> str:
    """Name the output layer's weight: the last one in the model's order."""
    return list(masks)[-1]


def prune_by_layer(
    weights: Mapping[str, Tensor], masks: Mapping[str, Tensor], rate: float
) -> Masks:
    """Prune the smallest weights of every layer (Frankle and Carbin 2019, section 2).

    From the n weights that a mask still keeps, exactly round(rate * n) of the least magnitude go,
    of equal ones those with the lower index; half the ``rate`` holds for the output layer. At least
    one weight stays in each layer. Raises UsageError unless 0 < rate < 1.
    """
    _check(rate)
    output = output_layer(masks)
    return {
        name: _without(mask, weights[name], rate / 2 if name == output else rate)
        for name, mask in masks.items()
    }


def prune_globally(
    weights: Mapping[str, Tensor],
    masks: Mapping[str, Tensor],
    rate: float,
    spared: Collection[str] = (),
) -> Masks:
    """Prune the smallest weights over all layers together, as the paper does in deep networks.

    From the n weights that the masks of layers not ``spared`` keep, exactly round(rate * n) go,
    ties as in :func:`prune_by_layer`; the largest weight of every layer stays, so fewer go if
    nothing else is left. Raises UsageError unless 0 < rate < 1.
    """
    _check(rate)
    names = [name for name in masks if name not in spared]
    kept = torch.cat([masks[name].flatten() for name in names])
    magnitude = torch.cat([_magnitude(weights[name]) for name in names])
    count = round(rate * int(kept.sum()))
    start = 0
    for name in names:
        here = slice(start, start + masks[name].numel())
        largest = start + int(torch.where(kept[here], magnitude[here], -1).argmax())
        magnitude[largest] = torch.inf
        start = here.stop
    count = min(count, int((kept & magnitude.isfinite()).sum()))
    left = torch.split(
        _drop_smallest(kept, magnitude, count), [masks[name].numel() for name in names]
    )
    pruned = {name: part.view_as(masks[name]) for name, part in zip(names, left, strict=True)}
    return {name: pruned.get(name, mask) for name, mask in masks.items()}


def shuffled(masks: Mapping[str, Tensor], seed: int) -> Masks:
    """Return masks with as many weights kept in every layer, at places drawn by ``seed``."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: mask.flatten()[torch.randperm(mask.numel(), generator=generator)].view_as(mask)
        for name, mask in masks.items()
    }


def shares(masks: Mapping[str, Tensor]) -> dict[str, float]:
    """Return the fraction of weights kept, by layer."""
    return {name: int(mask.sum()) / mask.numel() for name, mask in masks.items()}


def remaining(masks: Mapping[str, Tensor]) -> float:
    """Return the fraction of weights kept, over all layers."""
    kept = sum(int(mask.sum()) for mask in masks.values())
    return kept / sum(mask.numel() for mask in masks.values())


def _check(rate: float) -> None:
    if not 0 < rate < 1:
        raise UsageError(
            f"the pruning rate must lie between 0 and 1, not {rate:g}",
            "0.2 takes a fifth of the weights that are left, at every level",
        )


def _magnitude(weight: Tensor) -> Tensor:
    return weight.detach().cpu().float().abs().flatten()


def _without(mask: Tensor, weight: Tensor, rate: float) -> Tensor:
    kept = mask.flatten()
    left = int(kept.sum())
    count = min(round(rate * left), left - 1)
    return _drop_smallest(kept, _magnitude(weight), count).view_as(mask)


def _drop_smallest(kept: Tensor, magnitude: Tensor, count: int) -> Tensor:
    """Return flat ``kept`` without the ``count`` places of least magnitude, first ones first."""
    places = kept.nonzero().flatten()
    order = magnitude[places].sort(stable=True).indices
    left = kept.clone()
    left[places[order[:count]]] = False
    return left
