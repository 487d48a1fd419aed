"""Result of ``autoprune inspect``: groups, costs and pinned units of a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from autoprune.cost.model import CostModel
from autoprune.foundation.schema import encode_fields
from autoprune.structure.table import Pinned, Structure


@dataclass(frozen=True)
class GroupFacts:
    """Group of prunable units: number of units, number of slices, and share of the MACs."""

    name: str
    kind: str
    size: int
    slices: int
    macs_share: float


@dataclass(frozen=True)
class Inspection:
    """Groups, pinned units and total costs of a network, per sample.

    ``unused``: parameters that no forward pass of the analysis used; they stay as they are.
    """

    model: str
    data: str
    groups: tuple[GroupFacts, ...]
    pinned: tuple[Pinned, ...]
    macs: int
    flops: int
    parameters: int
    bytes: int
    unused: tuple[str, ...] = ()

    @classmethod
    def of(cls, structure: Structure, *, model: str, data: str) -> Self:
        """Collect the facts about an analyzed network; ``model`` and ``data`` are their names."""
        cost = CostModel(structure)
        groups = tuple(
            GroupFacts(
                name=group.name,
                kind=group.kind,
                size=group.size,
                slices=len(structure.slices[group.name]),
                macs_share=round(float(share), 6),
            )
            for group, share in zip(structure.groups, cost.macs.shares, strict=True)
        )
        return cls(
            model=model,
            data=data,
            groups=groups,
            pinned=tuple(structure.pinned),
            macs=cost.macs.dense,
            flops=2 * cost.macs.dense,
            parameters=cost.parameters.dense,
            bytes=cost.bytes.dense,
            unused=structure.unused,
        )

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able object."""
        return encode_fields(self)
