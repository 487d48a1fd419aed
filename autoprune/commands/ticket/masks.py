"""Masks of single weights, and magnitude pruning: layer by layer, or all layers together.

A mask is a bool tensor of its weight's shape, True where the weight stays; masks come by parameter
name, in the model's order.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import Tensor, nn

from autoprune.errors import UsageError

Masks = dict[str, Tensor]


def full_masks(model: nn.Module) -> Masks:
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
    """Return the name of the output layer's weight: the last one in the model's order."""
    return list(masks)[-1]


def prune_by_layer(
    weights: Mapping[str, Tensor], masks: Mapping[str, Tensor], rate: float
) -> Masks:
    """Prune the smallest weights of every layer (Frankle and Carbin 2019, section 2).

    Of the n weights that a mask still keeps, exactly round(rate * n) of the least magnitude go, of
    equal ones those with the lower index; the output layer is pruned at half the ``rate``. At least
    one weight stays in each layer. Raises UsageError unless 0 < rate < 1.
    """
    _check_rate(rate)
    output = output_layer(masks)
    return {
        name: _prune_layer(mask, weights[name], rate / 2 if name == output else rate)
        for name, mask in masks.items()
    }


def prune_globally(
    weights: Mapping[str, Tensor],
    masks: Mapping[str, Tensor],
    rate: float,
    spared: Collection[str] = (),
) -> Masks:
    """Prune the smallest weights of all layers together, as the paper does in deep networks.

    From the n weights that the masks of layers not ``spared`` keep, exactly round(rate * n) go,
    ties as in :func:`prune_by_layer`; the largest weight of every layer stays, so fewer go if
    nothing else is left. Raises UsageError unless 0 < rate < 1.
    """
    _check_rate(rate)
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


def keep_highest(scores: Mapping[str, Tensor], masks: Mapping[str, Tensor], keep: int) -> Masks:
    """Keep the ``keep`` highest scores of all layers together, and the highest of every layer.

    Only weights that ``masks`` keep are considered; of equal scores those with lower index go.
    """
    names = list(masks)
    kept = torch.cat([masks[name].flatten() for name in names])
    score = torch.cat([scores[name].detach().cpu().double().flatten() for name in names])
    sizes = [masks[name].numel() for name in names]
    start = 0
    for size in sizes:
        here = slice(start, start + size)
        best = start + int(torch.where(kept[here], score[here], -torch.inf).argmax())
        score[best] = torch.inf
        start += size
    drop = min(int(kept.sum()) - keep, int((kept & (score < torch.inf)).sum()))
    left = torch.split(_drop_smallest(kept, score, max(0, drop)), sizes)
    return {name: part.view_as(masks[name]) for name, part in zip(names, left, strict=True)}


def shuffled_masks(masks: Mapping[str, Tensor], seed: int, block: int = 0) -> Masks:
    """Return masks with as many weights kept in every layer, at positions drawn by ``seed``.

    With ``block``, masks of a pattern n:m with m = ``block`` keep it: rows (outputs) are permuted,
    and so are the weights within each run of m inputs.
    """
    generator = torch.Generator().manual_seed(seed)

    def mix(mask: Tensor) -> Tensor:
        if block:
            return _shuffled_blocks(mask, block, generator)
        return mask.flatten()[torch.randperm(mask.numel(), generator=generator)].view_as(mask)

    return {name: mix(mask) for name, mask in masks.items()}


def _shuffled_blocks(mask: Tensor, block: int, generator: torch.Generator) -> Tensor:
    """Permute rows, and positions within blocks; a row is laid out with its inputs fastest."""
    inputs_last = mask.movedim(1, -1)
    rows = inputs_last.reshape(len(mask), -1)
    rows = rows[torch.randperm(len(rows), generator=generator)]
    length = rows.shape[1] // block * block
    blocks = rows[:, :length].reshape(-1, block)
    order = torch.rand(blocks.shape, generator=generator).argsort(1)
    mixed = torch.cat([blocks.gather(1, order).view(len(mask), length), rows[:, length:]], 1)
    return mixed.view(inputs_last.shape).movedim(-1, 1).contiguous()


def mask_distance(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> float:
    """Return the fraction of all weights at which two masks differ (normalized Hamming distance).

    It is small for any two sparse masks: see :func:`mask_overlap`.
    """
    differ = sum(int((mask ^ other[name]).sum()) for name, mask in one.items())
    return differ / sum(mask.numel() for mask in one.values())


def mask_overlap(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> float:
    """Return the weights that both masks keep, as a fraction of those of the smaller mask."""
    both = sum(int((mask & other[name]).sum()) for name, mask in one.items())
    return both / min(sum(int(mask.sum()) for mask in masks.values()) for masks in (one, other))


def kept_by_layer(masks: Mapping[str, Tensor]) -> dict[str, float]:
    """Return the fraction of weights kept, by layer."""
    return {name: int(mask.sum()) / mask.numel() for name, mask in masks.items()}


def kept_fraction(masks: Mapping[str, Tensor]) -> float:
    """Return the fraction of weights kept, over all layers."""
    kept = sum(int(mask.sum()) for mask in masks.values())
    return kept / sum(mask.numel() for mask in masks.values())


def _check_rate(rate: float) -> None:
    if not 0 < rate < 1:
        raise UsageError(
            f"the pruning rate must lie between 0 and 1, not {rate:g}",
            "0.2 takes a fifth of the weights that are left, at every level",
        )


def _magnitude(weight: Tensor) -> Tensor:
    return weight.detach().cpu().float().abs().flatten()


def _prune_layer(mask: Tensor, weight: Tensor, rate: float) -> Tensor:
    kept = mask.flatten()
    left = int(kept.sum())
    count = min(round(rate * left), left - 1)
    return _drop_smallest(kept, _magnitude(weight), count).view_as(mask)


def _drop_smallest(kept: Tensor, magnitude: Tensor, count: int) -> Tensor:
    """Return flat ``kept`` without the ``count`` smallest weights, of equal ones the first."""
    positions = kept.nonzero().flatten()
    order = magnitude[positions].sort(stable=True).indices
    left = kept.clone()
    left[positions[order[:count]]] = False
    return left
