"""Times of a dense and a pruned network, in turns, and the layers that slow the pruned one."""

from __future__ import annotations

from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from safetensors.torch import save
from torch import nn

from autoprune.commands.bench.result import BLAMED, Blame, PlanFigures
from autoprune.cost.latency.clock import race
from autoprune.cost.latency.deployed import deployed
from autoprune.cost.latency.layers import module_times
from autoprune.cost.model import CostModel
from autoprune.data.task import Batch, Task
from autoprune.networks.execution import Form, device_of
from autoprune.networks.save import state_tensors
from autoprune.problem.prune import prune
from autoprune.structure.plan import Plan
from autoprune.structure.table import Structure

OTHER = "everything without MACs"


@dataclass(frozen=True)
class TimedNetwork:
    """Network to be timed, with the batch and the arithmetic that it is timed in."""

    model: nn.Module
    structure: Structure
    task: Task
    batch: Batch
    form: Form


def time_plan(name: str, dense: TimedNetwork, plan: Plan) -> PlanFigures:
    """Prune a network by a plan and time both on the same batch, taking turns in one run."""
    model, structure, device = dense.model, dense.structure, device_of(dense.model)
    compact = prune(model, structure, plan).eval()
    names = {layer.module for layer in structure.layers}
    with ExitStack() as stack:
        both = [
            stack.enter_context(deployed(net, dense.task, dense.batch, dense.form))
            for net in (model, compact)
        ]
        before, after = (1000 * min(times) for times in race(both, device))
        parts = module_times(both, names, device)
    cost = CostModel(structure)
    return PlanFigures(
        plan=name,
        bytes_before=len(save(state_tensors(model))),
        bytes_after=len(save(state_tensors(compact))),
        ms_before=before,
        ms_after=after,
        macs_before=cost.macs.dense,
        macs_after=cost.macs(plan),
        blame=_blame(structure, plan, parts),
    )


def _blame(
    structure: Structure, plan: Plan, parts: list[tuple[dict[str, float], float]]
) -> tuple[Blame, ...]:
    """Return the layers that are to blame, the one that loses most time first.

    ``parts`` are seconds by module and of the whole pass, of the dense and of the pruned network.
    """
    (before, whole_before), (after, whole_after) = parts
    dense, pruned = _layer_macs(structure, structure.sizes), _layer_macs(structure, plan)
    blames = [
        _layer_blame(name, before[name], after[name], dense[name] / pruned[name]) for name in before
    ]
    total = sum(dense.values()) / max(sum(pruned.values()), 1)
    other = (whole_before - sum(before.values()), whole_after - sum(after.values()))
    if min(other) > 0:
        blames.append(_layer_blame(OTHER, *other, total))
    return tuple(sorted((blame for blame in blames if blame), key=lambda blame: -blame.lost_ms))


def _layer_blame(name: str, before: float, after: float, reduction: float) -> Blame | None:
    speedup, lost = before / after, 1000 * (after - before / (BLAMED * reduction))
    return Blame(name, speedup, reduction, lost) if lost > 0 else None


def _layer_macs(structure: Structure, keep: Plan | dict[str, int]) -> dict[str, int]:
    macs: dict[str, int] = defaultdict(int)
    for layer in structure.layers:
        macs[layer.module] += sum(product(keep) for product in layer.macs)
    return macs


def noise(shape: tuple[int, int, int], samples: int, seed: int, device: torch.device) -> Batch:
    """Return a batch of noise: times do not depend on what the images show."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(samples, *shape, generator=generator)
    return images.to(device), torch.zeros(samples, dtype=torch.long, device=device)
