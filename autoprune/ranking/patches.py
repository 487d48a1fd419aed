"""Input patches of a module: the rows that it multiplies by its weight."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence

from autoprune.networks.padding import rows_of
from autoprune.ranking.consumers import CONVS

SHUFFLED: Final = 1 << 20
"""Rows up to this many are shuffled to draw some of them; of more, indices are drawn."""


def input_of(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor:
    """Return the input of a module's call; of a packed sequence, its data."""
    value: Tensor | PackedSequence = args[0] if args else kwargs["input"]
    return value.data if isinstance(value, PackedSequence) else value


def patches(module: nn.Module, value: Tensor, limit: int, generator: torch.Generator) -> Tensor:
    """Return the rows [<= limit, columns] that ``module`` multiplies by its weight.

    ``value`` is the module's input. Padding is left out; of more than ``limit`` rows a random
    subset is returned.
    """
    if not isinstance(module, CONVS):
        rows = rows_of(value)
        return rows[choose_rows(len(rows), limit, generator, rows.device)]
    spatial = len(module.kernel_size)
    if value.dim() == spatial + 1:
        value = value[None]
    before, after = _padding(module, spatial)
    if module.padding_mode != "zeros":
        value = F.pad(value, module._reversed_padding_repeated_twice, module.padding_mode)
        before = after = (0,) * spatial
    spans = [d * (k - 1) + 1 for d, k in zip(module.dilation, module.kernel_size, strict=True)]
    places = [
        (size + low + high - span) // stride + 1
        for size, low, high, span, stride in zip(
            value.shape[2:], before, after, spans, module.stride, strict=True
        )
    ]
    shape = torch.Size([len(value), *places])
    chosen = choose_rows(shape.numel(), limit, generator, value.device)
    sample, *corners = torch.unravel_index(chosen, shape)
    starts = [
        corner * stride - low
        for corner, stride, low in zip(corners, module.stride, before, strict=True)
    ]
    taps = _taps(module, value.device)
    return _gathered(value, sample, starts, taps, padded=any((*before, *after)))


def choose_rows(total: int, limit: int, generator: torch.Generator, device: torch.device) -> Tensor:
    """Return which of ``total`` rows are taken: a random subset where there are more, ascending."""
    if total <= limit:
        return torch.arange(total, device=device)
    if total <= SHUFFLED or limit > total // 4:
        return torch.randperm(total, generator=generator)[:limit].sort().values.to(device)
    drawn = torch.empty(0, dtype=torch.int64)
    while len(drawn) < limit:  # those drawn twice count once
        more = torch.randint(total, (limit - len(drawn) + 16,), generator=generator)
        drawn = torch.unique(torch.cat([drawn, more]))
    spare = torch.randperm(len(drawn), generator=generator)[:limit]
    return drawn[spare].sort().values.to(device)


def _padding(module: Any, spatial: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the padding before and after every spatial dimension."""
    flat = module._reversed_padding_repeated_twice
    return (
        tuple(flat[2 * (spatial - 1 - dim)] for dim in range(spatial)),
        tuple(flat[2 * (spatial - 1 - dim) + 1] for dim in range(spatial)),
    )


def _taps(module: Any, device: torch.device) -> list[Tensor]:
    """Return the offsets of the kernel's taps from its corner, [taps] for each dimension."""
    steps = [
        dilation * torch.arange(size, device=device)
        for dilation, size in zip(module.dilation, module.kernel_size, strict=True)
    ]
    return [grid.ravel() for grid in torch.meshgrid(*steps, indexing="ij")]


def _gathered(
    value: Tensor, sample: Tensor, starts: list[Tensor], taps: list[Tensor], *, padded: bool
) -> Tensor:
    """Return ``value`` [B, C, ...] under the kernel at each corner, [rows, C * taps].

    Zeros stand for what lies outside: the whole map is not padded for the sake of a few rows.
    """
    places = [start[:, None] + tap for start, tap in zip(starts, taps, strict=True)]
    ends = [size - 1 for size in value.shape[2:]]
    inner = [place.clamp(0, end) for place, end in zip(places, ends, strict=True)]
    rows = value.movedim(1, -1)[(sample[:, None], *inner)]  # [rows, taps, C]
    if padded:
        outside = [place != there for place, there in zip(places, inner, strict=True)]
        rows[torch.stack(outside).any(0)] = 0
    return rows.mT.flatten(1)
