"""Constraints: limits of a budget, each bound to the cost of one model."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from autoprune.cost.limits import Limit, amount
from autoprune.cost.polynomial import Cost, Counts
from autoprune.errors import InfeasibleError


@dataclass(frozen=True)
class Constraint:
    """A limit bound to a model: ``cost.at(counts) <= bound`` must hold."""

    limit: Limit
    cost: Cost
    bound: int

    @property
    def fraction(self) -> float:
        """The bound as a fraction of the dense cost, at most 1."""
        return min(1.0, self.bound / self.cost.dense)

    def check_reachable(self, smallest: Counts, kept_by: str = "") -> None:
        """Raise InfeasibleError, naming the reachable minimum, if ``smallest`` costs too much.

        ``kept_by``: words on what keeps it from being smaller.
        """
        least = self.cost.at(smallest)
        if least <= self.bound:
            return
        fraction = Fraction(least, self.cost.dense)
        # Rounded up, so that asking for what the message names succeeds.
        reachable = float(-(-fraction * 10**4 // 1)) / 10**4
        unit = self.limit.unit
        ask = f"{reachable:g}{unit}"
        if unit == "ms":
            ask = f"{float(-(-least * self.limit.scale * 10**6 // 1)) / 10**6:g}ms"
        raise InfeasibleError(
            f"no plan meets {self.limit}: {kept_by}this network cannot go below"
            f" {amount(least * self.limit.scale, unit)}, {reachable:g} of the dense model",
            f"ask for at least {ask}",
        )
