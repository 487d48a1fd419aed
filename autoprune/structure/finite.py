"""Check of a network's tensors: of a kind that can be cut, without NaN and infinity."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from autoprune.errors import UsageError


def first_nonfinite(model: nn.Module) -> str | None:
    """Return the name of the first parameter that is not finite or buffer that holds NaN, if any.

    Buffers may hold infinity: masks of attention do. Tensors without values are skipped.
    """
    return next((name for name, bad in _verdicts(model) if bool(bad.any())), None)


def require_finite(model: nn.Module) -> None:
    """Raise UsageError naming the first tensor that cannot be cut or is not finite."""
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        kind = _odd_kind(tensor)
        if kind:
            raise UsageError(
                f"{name} of the model is {kind}", "pass the network with plain tensors of values"
            )
    broken = first_nonfinite(model)
    if broken is not None:
        raise UsageError(f"{broken} of the model holds NaN or infinity", "load sound weights")


def require_values(model: nn.Module) -> None:
    """Raise UsageError naming the first tensor that has a shape at most, but no values."""
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if is_lazy(tensor) or tensor.is_meta:
            raise UsageError(f"{name} of the model has no values yet", "run and train it first")


def _odd_kind(tensor: Tensor) -> str | None:
    if is_lazy(tensor) or tensor.is_meta:
        return None
    if tensor.is_quantized:
        return "quantized"
    if isinstance(tensor, nn.Parameter) and tensor.layout != torch.strided:
        return "sparse"
    if tensor.is_floating_point() and tensor.itemsize == 1:
        return str(tensor.dtype).removeprefix("torch.")
    return None


def _verdicts(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for name, parameter in model.named_parameters():
        if not (is_lazy(parameter) or parameter.is_meta):
            yield name, ~parameter.detach().isfinite()
    for name, buffer in model.named_buffers():
        if not (is_lazy(buffer) or buffer.is_meta):
            yield name, buffer.isnan()
