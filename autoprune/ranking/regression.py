"""The ranking by regression: what a group's consumers lose when the rest is refitted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from autoprune.ranking.elimination import Reader, eliminate
from autoprune.ranking.gram import Moments
from autoprune.ranking.magnitude import l1, named_tensors
from autoprune.ranking.ordering import Curve, Ranking, accumulate
from autoprune.ranking.repair import LeastSquares, damped
from autoprune.structure.table import Structure

Chooser = Callable[[str, Sequence[Moments]], Tensor]
"""(group, its consumers) -> order of its units, most important first."""


def refitting(
    method: str,
    model: nn.Module,
    structure: Structure,
    moments: Sequence[Moments],
    chooser: Chooser | None = None,
) -> Ranking:
    """Rank every group that has consumers by the least-squares error they are left with.

    The order is found by backward elimination, or given by ``chooser``. Errors are sums over the
    consumers of squared output error / variance of the output. Groups whose units nothing reads
    through a module (hidden states, functional products) fall back on :func:`magnitude.l1`, and
    are not repaired. Memory: twice the Gram matrices.
    """
    ranked = l1(model, structure)
    readers = _readers(moments)
    for group in structure.groups:
        if group.name in readers:
            order = chooser(group.name, _of(group.name, moments)) if chooser else None
            ranked[group.name] = _rank(readers.pop(group.name), group.size, order)
    orders = {name: order for name, (order, _) in ranked.items()}
    return Ranking(
        method=method,
        orders=orders,
        errors={name: errors for name, (_, errors) in ranked.items()},
        repairs=_repairs(model, moments, orders),
    )


def energies(moments: Sequence[Moments]) -> dict[str, float]:
    """Tensor -> variance of its output, summed over outputs (and over parts, if it was split)."""
    found: dict[str, float] = defaultdict(float)
    for item in moments:
        size = len(item.weights)
        mean = item.gram[:size, size]
        second = (item.weights * (item.gram[:size, :size] @ item.weights)).sum()
        found[item.consumer.tensor] += float(second - (mean @ item.weights).square().sum())
    tiny = torch.finfo(torch.float32).tiny
    return {name: max(value, tiny) for name, value in found.items()}


def _readers(moments: Sequence[Moments]) -> dict[str, list[Reader]]:
    """Group -> its consumers, each with the group's part of the inverse Gram matrix."""
    found: dict[str, list[Reader]] = defaultdict(list)
    energy = energies(moments)
    for item in moments:
        gram, weights = damped(item)
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(gram))
        for name, index in item.consumer.groups.items():
            own = index.ravel().to(gram.device)
            found[name].append(
                Reader(
                    inverse[own[:, None], own],
                    weights[own],
                    index.shape[1],
                    energy[item.consumer.tensor],
                )
            )
    return found


def _of(group: str, moments: Sequence[Moments]) -> list[Moments]:
    return [item for item in moments if group in item.consumer.groups]


def _rank(readers: Sequence[Reader], size: int, order: Tensor | None) -> tuple[Tensor, Curve]:
    removed, costs = eliminate(readers, size, None if order is None else order.flip(0))
    return removed.flip(0).cpu(), accumulate(costs)


def _repairs(
    model: nn.Module, moments: Sequence[Moments], orders: Mapping[str, Tensor]
) -> tuple[LeastSquares, ...]:
    parts: dict[str, list[Moments]] = defaultdict(list)
    for item in moments:
        parts[item.consumer.tensor].append(item)
    tensors = named_tensors(model)
    return tuple(
        LeastSquares(items, orders, None if bias is None else tensors[bias].detach())
        for items in parts.values()
        for bias in (items[0].consumer.bias,)
    )
