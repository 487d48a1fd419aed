"""Masks of parameters that are trained: each is held against the parameter it is named after."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from autoprune.errors import UsageError


def masked_parameters(
    model: nn.Module, masks: Mapping[str, Tensor]
) -> list[tuple[nn.Parameter, Tensor]]:
    """Pair every masked parameter with its mask.

    Raises UsageError for a mask that fits no parameter.
    """
    parameters = dict(model.named_parameters(remove_duplicate=False))
    pairs = []
    for name, mask in masks.items():
        if name not in parameters:
            raise UsageError(f"the mask of {name!r} fits no parameter of the model")
        parameter = parameters[name]
        if mask.shape != parameter.shape:
            raise UsageError(
                f"the mask of {name!r} has shape {list(mask.shape)},"
                f" the parameter {list(parameter.shape)}"
            )
        pairs.append((parameter, mask.bool()))
    return pairs
