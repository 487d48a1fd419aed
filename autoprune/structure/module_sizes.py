"""Sizes that modules store (``in_channels``), updated to their tensors after slicing."""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Any, cast

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from autoprune.errors import UsageError

Fixer = Callable[[], None]


def fixers(model: nn.Module, touched: Container[str]) -> list[Fixer]:
    """Return functions that update the stored sizes of the named modules to their tensors."""
    fixers_or_none = (
        _fixer(module)
        for path, module in model.named_modules(remove_duplicate=False)
        if path in touched
    )
    return [fix for fix in fixers_or_none if fix is not None]


def narrow(model: nn.Module, path: str, attribute: str, size: int) -> None:
    """Reduce a size that no tensor shows; raise UsageError if it is none, or would grow."""
    old = one_size(vars(model.get_submodule(path)).get(attribute))
    if old is None or size > old:
        raise UsageError(f"{path!r} is smaller than expected", "it is another model")
    set_width(model, path, attribute, size)


def set_width(model: nn.Module, path: str, attribute: str, size: int) -> None:
    """Set a size that no tensor shows, such as that of a layer norm without weights."""
    module = model.get_submodule(path)
    old = module.__dict__.get(attribute)
    ours = not type(module).__module__.startswith("torch.nn")
    if old is not None and (ours or module._parameters.get("weight") is None):
        module.__dict__[attribute] = _with_size(old, size) if isinstance(old, tuple) else size


def one_size(value: object) -> int | None:
    """Return the size that an int is, or a tuple of one size and ones, as ``(64, 1, 1)``."""
    if not isinstance(value, tuple):
        return value if type(value) is int else None
    if not value or any(type(entry) is not int for entry in value):
        return None
    sizes = [entry for entry in value if entry != 1]
    return max(value) if len(sizes) < 2 else None


def _with_size(old: tuple[int, ...], size: int) -> tuple[int, ...]:
    place = old.index(max(old))
    return (*old[:place], size, *old[place + 1 :])


def _fixer(module: nn.Module) -> Fixer | None:
    state = module.__dict__
    if isinstance(module, _ConvNd):
        return _conv_fixer(module)
    if isinstance(module, nn.Linear):
        return lambda: _set(state, module.weight, ("out_features", "in_features"))
    if isinstance(module, nn.Embedding):
        return lambda: _set(state, module.weight, ("num_embeddings", "embedding_dim"))
    if isinstance(module, nn.PReLU):
        return lambda: _set(state, module.weight, ("num_parameters",))
    if isinstance(module, _NormBase):
        tensor = "weight" if module.affine else "running_mean"
        return lambda: _set(state, getattr(module, tensor), ("num_features",))
    if isinstance(module, nn.GroupNorm):
        return lambda: _set(state, module.weight, ("num_channels",))
    if isinstance(module, (nn.LayerNorm, nn.RMSNorm)):
        return lambda: state.update(normalized_shape=tuple(module.weight.shape))
    if isinstance(module, nn.RNNBase):
        return lambda: _fix_recurrent(module)
    if isinstance(module, nn.RNNCellBase):
        return lambda: state.update(
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

    def fix() -> None:
        """Set groups and channels by the shape of the weight."""
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
