"""Timing a dense and a pruned network against each other, and finding what slows the pruned one."""

from __future__ import annotations

from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from safetensors.torch import save
from torch import nn

from autoprune.commands.bench.row import BLAMED, Blame, Try
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
class Bed:
    """What one network is timed on, and in which form."""

    model: nn.Module
    structure: Structure
    task: Task
    batch: Batch
    form: Form


def attempt(name: str, bed: Bed, plan: Plan) -> Try:
    """Prune a network by a plan and time both on the same batch, taking turns in one run."""
    model, structure, device = bed.model, bed.structure, device_of(bed.model)
    compact = prune(model, structure, plan).eval()
    names = {layer.module for layer in structure.layers}
    with ExitStack() as stack:
        both = [
            stack.enter_context(deployed(net, bed.task, bed.batch, bed.form))
            for net in (model, compact)
        ]
        before, after = (1000 * min(times) for times in race(both, device))
        parts = module_times(both, names, device)
    cost = CostModel(structure)
    return Try(
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
    """List what got less faster than its MACs got fewer, the most time first."""
    (before, whole), (after, rest) = parts
    dense, pruned = _macs(structure, structure.sizes), _macs(structure, plan)
    found = [_held(name, before[name], after[name], dense[name] / pruned[name]) for name in before]
    total = sum(dense.values()) / max(sum(pruned.values()), 1)
    left = (whole - sum(before.values()), rest - sum(after.values()))
    if min(left) > 0:
        found.append(_held(OTHER, *left, total))
    return tuple(sorted((b for b in found if b), key=lambda blame: -blame.lost_ms))


def _held(name: str, before: float, after: float, reduction: float) -> Blame | None:
    speedup, lost = before / after, 1000 * (after - before / (BLAMED * reduction))
    return Blame(name, speedup, reduction, lost) if lost > 0 else None


def _macs(structure: Structure, keep: Plan | dict[str, int]) -> dict[str, int]:
    found: dict[str, int] = defaultdict(int)
    for layer in structure.layers:
        found[layer.module] += sum(product(keep) for product in layer.macs)
    return found


def example(shape: tuple[int, int, int], samples: int, seed: int, device: torch.device) -> Batch:
    """Return a batch of noise: what is timed does not depend on what the images show."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(samples, *shape, generator=generator)
    return images.to(device), torch.zeros(samples, dtype=torch.long, device=device)
