"""Cost model of a network: every registered cost of every plan, in exact integers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from autoprune.cost.counting import FLOPS_PER_MAC
from autoprune.cost.energy import EnergyTable
from autoprune.cost.polynomial import Cost, Counts, Polynomial
from autoprune.cost.registry import COSTS
from autoprune.structure.depth import settled
from autoprune.structure.plan import Plan
from autoprune.structure.table import BRANCH, Structure


@dataclass(frozen=True)
class CostModel:
    """All costs of a model: ``macs(plan)`` is an int, ``macs`` itself offers the vector forms.

    MACs are per sample: convolution, linear, recurrent and attention products, each multiply-add
    once, nothing else. Bytes are those of all parameters and buffers. Energy is counted in
    femtojoules per sample at the prices of ``table`` (:mod:`autoprune.cost.energy`). ``latency``
    is in nanoseconds per sample, None where it was not measured.
    """

    structure: Structure
    table: EnergyTable = field(default_factory=EnergyTable)
    latency: Cost | None = None

    def named(self, name: str) -> Cost | None:
        """Cost of a name in :data:`autoprune.cost.registry.COSTS`; None if it is not known."""
        if name not in self._counted:
            products = COSTS[name].products
            if products is None:
                return self.latency if name == "latency" else None
            self._counted[name] = self._count(name, Polynomial.of(self.structure, products(self)))
        return self._counted[name]

    def _count(self, name: str, cost: Polynomial) -> Polynomial:
        """Cost as it is counted at this granularity."""
        return cost

    @cached_property
    def _counted(self) -> dict[str, Polynomial]:
        return {}

    def _polynomial(self, name: str) -> Polynomial:
        self.named(name)
        return self._counted[name]

    @property
    def macs(self) -> Polynomial:
        """Multiply-adds per sample."""
        return self._polynomial("macs")

    @property
    def parameters(self) -> Polynomial:
        """Elements of all parameters, tied ones once."""
        return self._polynomial("parameters")

    @property
    def bytes(self) -> Polynomial:
        """Bytes of all parameters and buffers, tied ones once."""
        return self._polynomial("bytes")

    @property
    def energy(self) -> Polynomial:
        """Femtojoules per sample."""
        return self._polynomial("energy")

    def flops(self, plan: Mapping[str, int]) -> int:
        """Floating point operations per sample: 2 x MACs."""
        return FLOPS_PER_MAC * self.macs(plan)

    def counts(self, plan: Mapping[str, int]) -> Counts:
        """Return the counts of a plan in group order.

        Where a branch is gone, its groups count whole: they cost nothing, and they are what comes
        back with the branch.
        """
        counts = [plan[group.name] for group in self.structure.groups]
        sizes = self.structure.sizes.values()
        groups = zip(self.structure.groups, counts, sizes, strict=True)
        return np.array(
            [
                size if not count and group.kind != BRANCH else count
                for group, count, size in groups
            ],
            np.int64,
        )

    def plan(self, counts: ArrayLike) -> Plan:
        """Return the plan of counts in group order; the inverse of ``counts``."""
        names = self.structure.sizes
        kept = dict(zip(names, map(int, np.asarray(counts)), strict=True))
        return Plan.of(settled(self.structure, kept))
