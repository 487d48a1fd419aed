"""Parameters that the user froze: they and the buffers beside them keep their values."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from torch import nn

THAWED: Final = "every parameter was frozen: all were trained in fine-tuning, and are frozen again"
"""Warning about a network that :func:`thawed` let train."""


def frozen_parameters(model: nn.Module) -> frozenset[str]:
    """Names of the parameters without gradient, if any other has one.

    A network without any gradient was made ready for inference, and nothing in it is meant to be
    frozen. Tied parameters are listed under each of their names.
    """
    named = dict(model.named_parameters(remove_duplicate=False))
    if not any(parameter.requires_grad for parameter in named.values()):
        return frozenset()
    return frozenset(name for name, value in named.items() if not value.requires_grad)


def frozen_modules(model: nn.Module) -> list[nn.Module]:
    """Modules all of whose parameters are frozen, of which there is at least one."""
    if not frozen_parameters(model):
        return []
    return [
        module
        for module in model.modules()
        if (own := list(module.parameters())) and not any(value.requires_grad for value in own)
    ]


@contextmanager
def thawed(model: nn.Module) -> Iterator[bool]:
    """Let a model train inside the block if all of it is frozen; yields whether it was.

    The flags are restored at the end.
    """
    parameters = [value for value in model.parameters() if value.is_floating_point()]
    asleep = bool(parameters) and not any(value.requires_grad for value in parameters)
    for value in parameters if asleep else ():
        value.requires_grad_(True)
    try:
        yield asleep
    finally:
        for value in parameters if asleep else ():
            value.requires_grad_(False)
