"""Result of ``autoprune inspect``: groups, costs and pinned units of a network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from autoprune.cost.model import CostModel
from autoprune.foundation.schema import encode_fields
from autoprune.structure.table import Pinned, Structure
from autoprune.structure.view import branch_share, innermost


@dataclass(frozen=True)
class GroupFacts:
    """Group of prunable units: number of units, number of slices, and share of the MACs."""

    name: str
    kind: str
    size: int
    slices: int
    macs_share: float


@dataclass(frozen=True)
class BranchFacts:
    """Branch that may go as a whole (``--depth auto``), and its shares of MACs and of time.

    ``inside``: the smallest branch that it is a part of, if any. ``groups``: number of groups that
    go with it. ``time_share`` is measured; None where it was not.
    """

    name: str
    inside: str | None
    groups: int
    macs_share: float
    time_share: float | None


@dataclass(frozen=True)
class Inspection:
    """Groups, pinned units and total costs of a network, per sample.

    ``branches``: what may go as a whole, outer ones first.
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
    branches: tuple[BranchFacts, ...] = ()

    @classmethod
    def of(
        cls,
        structure: Structure,
        *,
        model: str,
        data: str,
        times: Mapping[str, float] | None = None,
    ) -> Self:
        """Collect the facts about an analyzed network; ``model`` and ``data`` are their names.

        ``times``: the measured share of the time that each branch takes.
        """
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
            branches=_branches(structure, times or {}),
        )

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able object."""
        return encode_fields(self)


def _branches(structure: Structure, times: Mapping[str, float]) -> tuple[BranchFacts, ...]:
    return tuple(
        BranchFacts(
            name=branch.name,
            inside=innermost(structure, branch),
            groups=len(branch.groups),
            macs_share=round(branch_share(structure, branch), 6),
            time_share=round(times[branch.name], 6) if branch.name in times else None,
        )
        for branch in structure.branches
    )
