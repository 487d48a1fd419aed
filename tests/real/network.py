"""A network of a public library: how to build it, what goes in, what counts of its output."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Network:
    """A network by name, ``library:name``.

    ``outputs`` names what counts of all that the network returns (empty: everything);
    ``heads`` are modules that torch-pruning must leave alone, as their units are the output.
    """

    name: str
    build: Callable[[], nn.Module]
    inputs: Callable[[], Any]
    outputs: tuple[str, ...] = ()
    heads: tuple[str, ...] = ()


def images(size: int = 32, channels: int = 3) -> Callable[[], Tensor]:
    """Return a maker of a batch of two images."""
    return lambda: torch.randn(2, channels, size, size)


def tokens(length: int = 12, **more: Any) -> Callable[[], dict[str, Any]]:
    """Return a maker of two rows of token numbers below 60, and of further arguments."""
    return lambda: {
        "input_ids": torch.randint(3, 60, (2, length)),
        **{name: make() if callable(make) else make for name, make in more.items()},
    }


@torch.no_grad()
def stirred(model: nn.Module) -> nn.Module:
    """Give a network values that no zero, no one and no fresh norm can hide a wrong wire behind."""
    draw = torch.Generator().manual_seed(1)
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if not tensor.is_floating_point() or not tensor.isfinite().all():
            continue
        noise = torch.rand(tensor.shape, generator=draw).to(tensor)
        if name.endswith(("running_var", "running_mean")) or isinstance(tensor, nn.Parameter):
            if tensor.dim() < 2:
                tensor.mul_(0.5 + noise).add_(0.2 * noise)
            elif not tensor.any() or tensor.std() < 1e-4:
                tensor.add_(0.2 * (noise - 0.5))
    for module in model.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.p = 0.0
        for name, value in vars(module).items():
            if "drop" in name and isinstance(value, float):
                setattr(module, name, 0.0)
    return model
