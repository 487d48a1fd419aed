"""Times of a network's modules, measured in passes of the whole network."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import torch
from torch import nn

from autoprune.cost.latency.backends import Backend, latencies
from autoprune.cost.latency.calls import Call, Recorder
from autoprune.cost.latency.clock import now, shortest
from autoprune.cost.latency.deployed import Deployed, deployed, deployed_form
from autoprune.data.task import Batch, Task
from autoprune.networks.execution import device_of
from autoprune.structure.table import Branch

ROUNDS: Final = 15

FEW_ROUNDS: Final = 5
"""Passes where shares of the whole are asked for, and no time of its own."""


def module_times(
    networks: Sequence[Deployed], names: Collection[str], device: torch.device
) -> list[tuple[dict[str, float], float]]:
    """Return for each network the seconds of each named module without children, and of it all.

    The least of several passes each, the networks taking turns; a module called several times adds
    up. The modules' times and the network's come from the same passes.
    """
    return _times(networks, [_leaves(one.net, names) for one in networks], device, ROUNDS)


def branch_shares(
    model: nn.Module, task: Task, batch: Batch, branches: Sequence[Branch]
) -> dict[str, float]:
    """Return the share of the time of a pass that the modules of each branch take, by its name.

    Measured in eager PyTorch in the form that is deployed; the model is left as it was.
    """
    form, device = deployed_form(model, task, batch), device_of(model)
    with deployed(model, task, batch, form) as network:
        modules = {
            name: network.net.get_submodule(name)
            for branch in branches
            for name in branch.removal.modules
        }
        [(spent, whole)] = _times([network], [modules], device, FEW_ROUNDS)
    return {
        branch.name: sum(spent[name] for name in branch.removal.modules) / whole
        for branch in branches
    }


def _times(
    networks: Sequence[Deployed],
    modules: Sequence[Mapping[str, nn.Module]],
    device: torch.device,
    rounds: int,
) -> list[tuple[dict[str, float], float]]:
    """Time the modules of each network, and each network, in the same passes."""
    turns: list[list[list[float]]] = [[] for _ in networks]
    for turn in range(rounds + 1):
        for place, (one, parts) in enumerate(zip(networks, modules, strict=True)):
            with _clocks(list(parts.values()), device) as spent:
                began = now(device)
                one()
                spent.append(now(device) - began)
            if turn:
                turns[place].append(spent)
    results = []
    for parts, times in zip(modules, turns, strict=True):
        *least, whole = (min(column) for column in zip(*times, strict=True))
        results.append((dict(zip(parts, least, strict=True)), whole))
    return results


def operation_times(
    backend: Backend, model: nn.Module, task: Task, batch: Batch, names: Collection[str]
) -> tuple[dict[str, float], float]:
    """Return the same for one network on a backend that cannot time modules inside the network.

    Each operation of a module is timed by itself; operations that are fused into others take none.
    """
    parts: dict[str, float] = {}
    recorder = Recorder()
    with deployed(model, task, batch, backend.form) as network:
        leaves = _leaves(network.net, names)
        calls: dict[str, list[Call]] = {name: [] for name in leaves}
        handles = []
        for name, module in leaves.items():
            begin, end = _marks(recorder, calls[name])
            handles += [module.register_forward_pre_hook(begin)]
            handles += [module.register_forward_hook(end)]
        try:
            with recorder:
                network()
        finally:
            for handle in handles:
                handle.remove()
    device = torch.device("cpu")
    for name, made in calls.items():
        works = [backend.operation(call, call.sizes) for call in made]
        parts[name] = sum(shortest(work, device) for work in works if work is not None)
    return parts, latencies(backend, [model])[0]


def _marks(
    recorder: Recorder, calls: list[Call]
) -> tuple[Callable[..., None], Callable[..., None]]:
    """Return hooks that note what is recorded while a module runs."""
    start = [0]

    def begin(*_: Any) -> None:
        start[0] = len(recorder.calls)

    def end(*_: Any) -> None:
        calls.extend(recorder.calls[start[0] :])

    return begin, end


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
        """Set the clock around one module; yield the handles of its hooks."""

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
