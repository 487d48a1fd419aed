"""Check of a network for NaN and infinity."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from autoprune.errors import UsageError


def first_nonfinite(model: nn.Module) -> str | None:
    """Return the name of the first parameter that is not finite or buffer that holds NaN, if any.

    Buffers may hold infinity: masks of attention do. Tensors without values are skipped.
    """
    return next((name for name, bad in _verdicts(model) if bool(bad.any())), None)


def require_finite(model: nn.Module) -> None:
    """Raise UsageError naming the first tensor that :func:`first_nonfinite` finds."""
    name = first_nonfinite(model)
    if name is not None:
        raise UsageError(f"{name} of the model holds NaN or infinity", "load sound weights")


def _verdicts(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for name, parameter in model.named_parameters():
        if not (is_lazy(parameter) or parameter.is_meta):
            yield name, ~parameter.detach().isfinite()
    for name, buffer in model.named_buffers():
        if not (is_lazy(buffer) or buffer.is_meta):
            yield name, buffer.isnan()
