"""Costs by name. A new one is a module of this room and one line of ``COSTS``."""

from __future__ import annotations

from typing import Final

from autoprune.cost.counting import BYTES, ENERGY, LATENCY, MACS, PARAMETERS
from autoprune.cost.kind import CostKind, Unit

COSTS: Final[dict[str, CostKind]] = {
    kind.name: kind
    for kind in (
        MACS,
        PARAMETERS,
        BYTES,
        ENERGY,
        LATENCY,
    )
}


def units() -> dict[str, tuple[CostKind, Unit]]:
    """Every spelling of every unit, with its cost."""
    return {
        word: (kind, unit)
        for kind in COSTS.values()
        for unit in kind.units
        for word in (unit.name, *unit.words)
    }
