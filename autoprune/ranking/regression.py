"""Ranking by regression: the expected rise of the loss when a group's consumers are refitted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from statistics import median

import torch
from torch import Tensor, nn

from autoprune.networks.execution import return_memory
from autoprune.ranking.cholesky import cholesky, principal
from autoprune.ranking.elimination import Reader, eliminate
from autoprune.ranking.gram import DEFAULT, Moments, RegressionConfig
from autoprune.ranking.magnitude import l1, named_tensors
from autoprune.ranking.ordering import Curve, Ranking, accumulate
from autoprune.ranking.repair import LeastSquares, damped
from autoprune.structure.plan import Plan
from autoprune.structure.table import Structure

OrderFn = Callable[[Sequence[Moments], Mapping[str, float], Structure], Mapping[str, Tensor]]
"""(Gram matrices of all consumers, variance of each consumer's output, structure) -> for every
group that has consumers, the order of its units [size], most important first."""

SensitivityFn = Callable[[Mapping[str, Tensor]], Mapping[str, float]]
"""(tensor -> its repaired values with half of the units gone) -> by consumer's tensor, what a
relative error of 1 in its outputs adds to the loss (:func:`sensitivity.sensitivities`)."""


def refitting(
    method: str,
    model: nn.Module,
    structure: Structure,
    moments: list[Moments],
    sensitivity_fn: SensitivityFn,
    order_fn: OrderFn,
    config: RegressionConfig = DEFAULT,
) -> Ranking:
    """Rank every group that has consumers by the least-squares error left in their outputs.

    ``order_fn`` gives the order of the units. Errors are sums over the
    consumers of squared output error / variance of the output, times its sensitivity. Of
    a consumer of several groups, each group's part is what its units add when all of them shrink
    side by side. Groups whose units nothing reads through a module (hidden states, functional
    products) fall back on :func:`magnitude.l1`, their relative error counted as if by the median
    consumer, and are not repaired. Memory: the Gram matrices, and twice the widest; ``moments`` are
    taken out of their list as they are done with.
    """
    ranked, energy = l1(model, structure), energies(moments)
    orders = {name: order for name, (order, _) in ranked.items()}
    orders |= order_fn(moments, energy, structure)
    repairs = _repairs(model, moments, orders, config.remembered)
    refitted = Ranking(method, orders, {}, repairs)
    return_memory()
    sensitivity = sensitivity_fn(refitted.weights(Plan.uniform(structure, 0.5)))
    typical = median(sensitivity.values()) if sensitivity else 1.0
    errors = {name: typical * curve for name, (_, curve) in ranked.items()}
    return replace(refitted, errors=errors | _errors(repairs, energy, sensitivity))


def eliminated(
    moments: Sequence[Moments], energy: Mapping[str, float], structure: Structure
) -> dict[str, Tensor]:
    """Return the order of every group that has consumers, by backward elimination.

    One Gram matrix is inverted at a time, once; the inverse is kept as long as other groups read
    through the same consumer.
    """
    by_group: dict[str, list[Moments]] = defaultdict(list)
    for one in moments:
        for name in one.consumer.groups:
            by_group[name].append(one)
    left = {id(one): len(one.consumer.groups) for one in moments}
    shared: dict[int, tuple[Tensor, Tensor]] = {}
    orders = {}
    for name, items in by_group.items():
        readers = []
        for one in items:
            inverse, weights = shared.pop(id(one)) if id(one) in shared else _inverted(one)
            left[id(one)] -= 1
            own = one.consumer.groups[name].ravel().to(inverse.device)
            part, rows = principal(inverse, own), weights[own]
            if left[id(one)]:
                shared[id(one)] = inverse, weights
                part = part.clone()  # it is overwritten
            block = one.consumer.groups[name].shape[1]
            readers.append(Reader(part, rows, block, energy[one.consumer.tensor]))
        orders[name] = eliminate(readers, structure.sizes[name]).flip(0).cpu()
    return orders


def _inverted(moments: Moments) -> tuple[Tensor, Tensor]:
    """Return the inverse of the damped Gram matrix, and the weights beside it."""
    gram, weights = damped(moments)
    return torch.cholesky_inverse(cholesky(gram)), weights


def _errors(
    repairs: Sequence[LeastSquares], energy: Mapping[str, float], sensitivity: Mapping[str, float]
) -> dict[str, Curve]:
    """Return the errors of all groups that have consumers."""
    costs: dict[str, Tensor] = {}
    for repair in repairs:
        scale = sensitivity[repair.tensor] / energy[repair.tensor]
        for name, part in repair.costs().items():
            costs[name] = costs.get(name, torch.zeros_like(part)) + scale * part
    return {name: accumulate(part.flip(0)) for name, part in costs.items()}


def energies(moments: Sequence[Moments]) -> dict[str, float]:
    """Tensor -> variance of its output, summed over outputs (and over parts, if it was split)."""
    variances: dict[str, float] = defaultdict(float)
    least: dict[str, float] = {}
    for one in moments:
        tiny = torch.finfo(torch.float32).tiny  # float64 holds its square, too
        least[one.consumer.tensor] = tiny if one.gram.dtype == torch.float32 else tiny**2
        size = len(one.weights)
        mean = one.gram[:size, size]
        second = (one.weights * (one.gram[:size, :size] @ one.weights)).sum()
        variances[one.consumer.tensor] += float(second - (mean @ one.weights).square().sum())
    return {name: max(value, least[name]) for name, value in variances.items()}


def _repairs(
    model: nn.Module, moments: list[Moments], orders: Mapping[str, Tensor], remembered: int
) -> tuple[LeastSquares, ...]:
    """Make the repair of every consumer; its Gram matrices go as its factors come."""
    parts: dict[str, list[Moments]] = defaultdict(list)
    while moments:
        parts[moments[0].consumer.tensor].append(moments.pop(0))
    tensors, repairs = named_tensors(model), []
    for tensor in list(parts):
        bias = parts[tensor][0].consumer.bias
        kept = None if bias is None else tensors[bias].detach()
        repairs.append(LeastSquares(parts.pop(tensor), orders, kept, remembered))
    return tuple(repairs)
