"""Where the time of a network goes: module by module, in the passes of the whole."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import torch
from torch import nn

from autoprune.latency.clock import now
from autoprune.latency.deployed import Deployed

ROUNDS: Final = 15


def module_times(
    networks: Sequence[Deployed], names: Collection[str], device: torch.device
) -> list[tuple[dict[str, float], float]]:
    """Return for each network the seconds of each named module without children, and of it all.

    The least of several passes each, the networks taking turns; a module called several times adds
    up. The modules' times and the network's come from the same passes.
    """
    leaves = [_leaves(one.net, names) for one in networks]
    turns: list[list[list[float]]] = [[] for _ in networks]
    for turn in range(ROUNDS + 1):
        for place, (one, parts) in enumerate(zip(networks, leaves, strict=True)):
            with _clocks(list(parts.values()), device) as spent:
                began = now(device)
                one()
                spent.append(now(device) - began)
            if turn:
                turns[place].append(spent)
    found = []
    for parts, times in zip(leaves, turns, strict=True):
        *each, whole = (min(column) for column in zip(*times, strict=True))
        found.append((dict(zip(parts, each, strict=True)), whole))
    return found


def _leaves(net: nn.Module, names: Collection[str]) -> dict[str, nn.Module]:
    return {
        name: module
        for name, module in net.named_modules()
        if name in names and not any(True for _ in module.children())
    }


@contextmanager
def _clocks(modules: Sequence[nn.Module], device: torch.device) -> Iterator[list[float]]:
    """Time every call of the modules while the context lasts."""
    spent = [0.0] * len(modules)

    def attach(place: int) -> Iterator[Any]:
        def start(*_: Any) -> None:
            spent[place] -= now(device)

        def stop(*_: Any) -> None:
            spent[place] += now(device)

        yield modules[place].register_forward_pre_hook(start)
        yield modules[place].register_forward_hook(stop)

    handles = [handle for place in range(len(modules)) for handle in attach(place)]
    try:
        yield spent
    finally:
        for handle in handles:
            handle.remove()
