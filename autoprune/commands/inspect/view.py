"""What can be pruned in a network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Group as Stack
from rich.console import RenderableType
from rich.text import Text

from autoprune.cost.model import CostModel
from autoprune.foundation.tables import bar, count, size, table_of, title
from autoprune.structure.table import Structure


def inspect_json(structure: Structure) -> dict[str, Any]:
    """Return what :func:`inspect_view` shows as a JSON-able object."""
    cost = CostModel(structure)
    shares = cost.macs.shares
    return {
        "groups": [
            {
                "name": group.name,
                "kind": group.kind,
                "size": group.size,
                "slices": len(structure.slices[group.name]),
                "macs_share": round(float(share), 6),
            }
            for group, share in zip(structure.groups, shares, strict=True)
        ],
        "pinned": [
            {"name": item.name, "size": item.size, "reason": item.reason}
            for item in structure.pinned
        ],
        "macs": cost.macs.dense,
        "flops": 2 * cost.macs.dense,
        "parameters": cost.parameters.dense,
        "bytes": cost.bytes.dense,
    }


def inspect_view(name: str, facts: Mapping[str, Any]) -> RenderableType:
    """Show what ``inspect_json`` returned: groups, totals, and what is pinned and why."""
    groups = table_of("group", "kind", "units", "slices", "share of MACs")
    for group in facts["groups"]:
        groups.add_row(
            Text(group["name"]),
            group["kind"],
            str(group["size"]),
            str(group["slices"]),
            bar(group["macs_share"]),
        )
    groups.caption = (
        "share of MACs: what goes with the whole group; where groups meet, both claim it"
    )
    units = sum(group["size"] for group in facts["groups"])
    summary = (
        f"{units:,} units in {len(facts['groups'])} groups; {count(facts['macs'])} MACs ="
        f" {count(facts['flops'])} FLOPs per sample; {count(facts['parameters'])} parameters;"
        f" {size(facts['bytes'])}"
    )
    return Stack(title(name, summary), groups, *_pinned(facts["pinned"]))


def _pinned(pinned: Iterable[Mapping[str, Any]]) -> list[RenderableType]:
    reasons: dict[str, list[str]] = {}
    for item in pinned:
        reasons.setdefault(item["reason"], []).append(f"{item['name']} ({item['size']})")
    if not reasons:
        return []
    table = table_of("pinned", "because")
    table.columns[1].no_wrap = False
    for reason, names in reasons.items():
        table.add_row(Text(", ".join(names)), Text(reason))
    return [table]
