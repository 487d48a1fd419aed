"""Plans that prune at a rate: three readings of it, the plain one first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import torch

from autoprune.cost.bisection import largest_that
from autoprune.cost.latency import width_steps
from autoprune.cost.model import CostModel
from autoprune.foundation.arrays import Floats
from autoprune.structure.plan import Plan
from autoprune.structure.table import Structure

LEAST: Final = 0.25
"""Least part of a group that the uneven plan keeps, as a part of what an even plan would keep."""

Make = Callable[[Structure, float, torch.device], Plan]


def even(structure: Structure, rate: float, device: torch.device) -> Plan:
    """Remove the same part of the units of every group."""
    return Plan.uniform(structure, 1 - rate)


def aligned(structure: Structure, rate: float, device: torch.device) -> Plan:
    """Remove at least that part of every group: round widths down to those that suit the device."""
    wanted = {group.name: max(1, int(group.size * (1 - rate))) for group in structure.groups}
    steps = width_steps(structure.sizes.values(), device)
    return Plan.of(
        {
            name: max(count // step * step, min(count, step))
            for (name, count), step in zip(wanted.items(), steps, strict=True)
        }
    )


def uneven(structure: Structure, rate: float, device: torch.device) -> Plan:
    """Remove that part of all units of the network, more of them where a unit has more parameters.

    A group keeps a fraction proportional to price ** -0.25, a unit's price being the parameters
    that go with it from the dense network; not below ``LEAST`` of an even share.
    """
    cost, sizes = CostModel(structure), np.array(list(structure.sizes.values()), np.float64)
    price = cost.parameters.shares * cost.parameters.dense / sizes
    lean = np.maximum(price, 1.0) ** -0.25
    goal = (1 - rate) * sizes.sum()

    def kept(scale: float) -> Floats:
        return np.clip(scale * lean, LEAST * (1 - rate), 1.0) * sizes

    scale = largest_that(lambda scale: bool(kept(scale).sum() <= goal), 1 / lean.min())
    steps = width_steps(structure.sizes.values(), device)
    return Plan.of(
        {
            name: max(1, int(count) // step * step)
            for name, count, step in zip(structure.sizes, kept(scale), steps, strict=True)
        }
    )


PLANS: Final[dict[str, Make]] = {"even": even, "aligned": aligned, "uneven": uneven}
"""Plans in the order in which they are tried."""
