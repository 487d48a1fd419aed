"""Magnitude rankings, which use weights only: l1, l2, bn-scale, random."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from autoprune.ranking.ordering import Curve, by_importance, curve
from autoprune.structure.table import Group, Slice, Structure

NORMS = (
    nn.modules.batchnorm._NormBase,  # batch and instance norms
    nn.GroupNorm,
    nn.LayerNorm,
    nn.RMSNorm,
)

Ranked = dict[str, tuple[Tensor, Curve]]
"""Group -> its order (most important unit first) and its error by number of units kept."""


def l1(model: nn.Module, structure: Structure, seed: int = 0) -> Ranked:
    """Rank by the sum of absolute producing weights (Li et al. 2017, arXiv:1608.08710)."""
    return _by_norm(model, structure, 1.0)


def l2(model: nn.Module, structure: Structure, seed: int = 0) -> Ranked:
    """Rank by the Euclidean norm of the weights that produce a unit."""
    return _by_norm(model, structure, 2.0)


def bn_scale(model: nn.Module, structure: Structure, seed: int = 0) -> Ranked:
    """Rank by the absolute scale of the norms on a unit (Liu et al. 2017, arXiv:1708.06519).

    Groups without a norm fall back on :func:`l1`.
    """
    tensors, scales = named_tensors(model), _norm_weights(model)
    result = l1(model, structure)
    for group in structure.groups:
        slices = [s for s in structure.slices[group.name] if s.tensor in scales]
        if slices:
            result[group.name] = by_importance(_importance(group, slices, tensors, 1.0))
    return result


def random(model: nn.Module, structure: Structure, seed: int = 0) -> Ranked:
    """Rank by a seeded permutation; every unit has the same error."""
    generator = torch.Generator().manual_seed(seed)
    return {
        group.name: (
            torch.randperm(group.size, generator=generator),
            curve(torch.ones(group.size)),
        )
        for group in structure.groups
    }


def named_tensors(model: nn.Module) -> Mapping[str, Tensor]:
    """All parameters and buffers by every name they go by."""
    return {
        **dict(model.named_parameters(remove_duplicate=False)),
        **dict(model.named_buffers(remove_duplicate=False)),
    }


def _by_norm(model: nn.Module, structure: Structure, power: float) -> Ranked:
    tensors = named_tensors(model)
    return {
        group.name: by_importance(
            _importance(group, _slices_of(structure, group, tensors), tensors, power)
        )
        for group in structure.groups
    }


def _slices_of(structure: Structure, group: Group, tensors: Mapping[str, Tensor]) -> list[Slice]:
    """Slices that represent a unit: its producers, else its readers, else all."""
    slices = list(structure.slices[group.name])
    for role in ("out", "in"):
        chosen = [s for s in slices if s.role == role and tensors[s.tensor].dim() > 1]
        if chosen:
            return chosen
    return slices


def _importance(
    group: Group, slices: list[Slice], tensors: Mapping[str, Tensor], power: float
) -> Tensor:
    """Sum over slices of the units' norms, each divided by its mean so that no tensor dominates."""
    total = torch.zeros(group.size, dtype=torch.float64)
    for one in slices:
        tensor = tensors[one.tensor].detach().double().cpu()
        rows = tensor.movedim(one.dim, 0)[one.index]
        norm = rows.reshape(group.size, -1).norm(power, dim=1)
        mean = norm.mean()
        if mean > 0:
            total += norm / mean
    return total


def _norm_weights(model: nn.Module) -> set[str]:
    return {
        f"{path}.weight" if path else "weight"
        for path, module in model.named_modules(remove_duplicate=False)
        if isinstance(module, NORMS)
    }
