"""The sizes that modules know of themselves, brought in line with their tensors after slicing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from autoprune.structure.table import Extent, Structure

Indices = Mapping[tuple[str, int], Tensor]
Fixer = Callable[[Indices], None]


def fixers(model: nn.Module, touched: set[str], structure: Structure) -> list[Fixer]:
    """Functions that bring the sizes modules know of themselves in line with their tensors."""
    found: list[Fixer] = []
    for path, module in model.named_modules(remove_duplicate=False):
        if path in touched and (fix := _fixer(module)) is not None:
            found.append(fix)
    for (path, attribute), extent in structure.widths.items():
        module = model.get_submodule(path)
        if extent.terms and hasattr(module, attribute) and not list(module.parameters()):
            found.append(_width_fixer(module, attribute, extent, structure))
    return found


def _fixer(module: nn.Module) -> Fixer | None:
    state = module.__dict__
    if isinstance(module, _ConvNd):
        return _conv_fixer(module)
    if isinstance(module, nn.Linear):
        return lambda _: _set(state, module.weight, ("out_features", "in_features"))
    if isinstance(module, nn.Embedding):
        return lambda _: _set(state, module.weight, ("num_embeddings", "embedding_dim"))
    if isinstance(module, nn.PReLU):
        return lambda _: _set(state, module.weight, ("num_parameters",))
    if isinstance(module, _NormBase):
        tensor = "weight" if module.affine else "running_mean"
        return lambda _: _set(state, getattr(module, tensor), ("num_features",))
    if isinstance(module, nn.GroupNorm):
        return lambda _: _set(state, module.weight, ("num_channels",))
    if isinstance(module, (nn.LayerNorm, nn.RMSNorm)):
        return lambda _: state.update(normalized_shape=tuple(module.weight.shape))
    if isinstance(module, nn.RNNBase):
        return lambda _: _fix_recurrent(module)
    if isinstance(module, nn.RNNCellBase):
        return lambda _: state.update(
            input_size=module.weight_ih.shape[1], hidden_size=module.weight_hh.shape[1]
        )
    return None


def _set(state: dict[str, Any], tensor: Tensor, attributes: tuple[str, ...]) -> None:
    for attribute, size in zip(attributes, tensor.shape, strict=False):
        state[attribute] = size


def _conv_fixer(module: _ConvNd) -> Fixer:
    state, transposed = module.__dict__, isinstance(module, _ConvTransposeNd)
    depthwise = module.groups > 1 and module.groups == module.in_channels
    multiplier = module.out_channels // module.in_channels if depthwise else 0

    def fix(_: Indices) -> None:
        first, second = tuple(module.weight.shape)[:2]
        groups = module.groups
        if depthwise:
            groups = first if transposed else first // multiplier
        inner, outer = (first, second * groups) if transposed else (second * groups, first)
        state.update(groups=groups, in_channels=inner, out_channels=outer)

    return fix


def _fix_recurrent(module: nn.RNNBase) -> None:
    weights = [module._parameters[name] for name in module._flat_weights_names]
    module.__dict__.update(
        _flat_weights=weights,
        input_size=cast(Tensor, module.weight_ih_l0).shape[1],
        hidden_size=cast(Tensor, module.weight_hh_l0).shape[1],
    )


def _width_fixer(module: nn.Module, attribute: str, extent: Extent, structure: Structure) -> Fixer:
    """Set a size that no tensor shows, such as that of a layer norm without weights."""
    carriers = {name: structure.slices[name][0] for name, _ in extent.terms}

    def fix(indices: Indices) -> None:
        size = extent.fixed
        for name, times in extent.terms:
            carrier = carriers[name]
            stays = torch.isin(carrier.index[:, 0], indices[carrier.tensor, carrier.dim])
            size += times * int(stays.sum())
        old = module.__dict__.get(attribute)
        module.__dict__[attribute] = (size,) if isinstance(old, tuple) else size

    return fix
