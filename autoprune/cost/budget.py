"""Budgets: parsed from text, and bound to a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from autoprune.cost.bound_budget import BoundBudget
from autoprune.cost.constraint import Constraint
from autoprune.cost.limits import Limit, parse_limits
from autoprune.cost.model import CostModel
from autoprune.errors import UsageError


@dataclass(frozen=True)
class Budget:
    """A budget as the user wrote it, before any model is known."""

    limits: tuple[Limit, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a budget such as ``0.5flops``, ``60Mmacs``, ``2ms`` or ``0.5flops, 0.3params``.

        Raises UsageError for anything else: unknown units, 0, negative, NaN, fractions over 1.
        """
        return cls(parse_limits(text))

    @property
    def costs(self) -> frozenset[str]:
        """Names of the costs it limits."""
        return frozenset(limit.cost for limit in self.limits)

    def bind(
        self,
        cost: CostModel,
        align: int | Sequence[int] = 1,
        floor: Mapping[str, int] | None = None,
    ) -> BoundBudget:
        """Fix the budget to a model; groups keep multiples of ``align`` units, or all of them.

        ``align`` is one number, or one for each group; ``floor`` the least units of each group.
        Raises InfeasibleError if not even the smallest plan meets it, UsageError if align < 1 or
        the latency of the model is not known.
        """
        steps = (align,) * len(cost.structure.groups) if isinstance(align, int) else tuple(align)
        if min(steps, default=1) < 1:
            raise UsageError(f"align must be at least 1, not {min(steps)}", "1 allows every width")
        constraints: dict[str, Constraint] = {}
        for limit in self.limits:
            measure = cost.named(limit.cost)
            if measure is None:
                raise UsageError(
                    f"{limit}: the {limit.cost} of this network is not known",
                    "measure it with autoprune.cost.latency.measure_latency",
                )
            new = Constraint(limit, measure, limit.bound(measure.dense))
            old = constraints.get(limit.cost, new)
            constraints[limit.cost] = min(old, new, key=lambda item: item.bound)
        least = tuple(floor[group.name] for group in cost.structure.groups) if floor else ()
        bound = BoundBudget(str(self), cost, tuple(constraints.values()), steps, floor=least)
        for constraint in bound.constraints:
            constraint.check_reachable(bound.smallest, bound.kept_by)
        return bound

    def __str__(self) -> str:
        return ",".join(map(str, self.limits))
