"""Tables of a structure: its groups, and what is pinned and why."""

from __future__ import annotations

from collections.abc import Iterable
from io import StringIO

from rich.console import Console, RenderableType
from rich.console import Group as Stack
from rich.table import Table
from rich.text import Text

from autoprune.foundation.tables import bar, table_of
from autoprune.structure.table import Group, Pinned, Structure

WIDTH = 100


def structure_text(structure: Structure) -> str:
    """Return the tables as ``autoprune inspect`` prints them, without colors."""
    rows = [
        (group, len(structure.slices[group.name]), macs_share(structure, group.name))
        for group in structure.groups
    ]
    console = Console(file=StringIO(), width=WIDTH, color_system=None, force_jupyter=False)
    with console.capture() as capture:
        console.print(Stack(groups_table(rows), *pinned_table(structure.pinned)))
    lines = (line.rstrip() for line in capture.get().splitlines())
    return "\n".join(lines).strip("\n")


def macs_share(structure: Structure, name: str) -> float:
    """Return the part of all MACs that goes when a whole group goes."""
    dense, without = (
        sum(product(sizes) for layer in structure.layers for product in layer.macs)
        for sizes in (structure.sizes, {**structure.sizes, name: 0})
    )
    return 1 - without / max(dense, 1)


def groups_table(rows: Iterable[tuple[Group, int, float]]) -> Table:
    """Return a table of groups, each with its number of slices and its share of MACs."""
    table = table_of("group", "kind", "units", "slices", "share of MACs")
    for group, slices, share in rows:
        table.add_row(Text(group.name), group.kind, str(group.size), str(slices), bar(share))
    table.caption = (
        "share of MACs: what goes with the whole group; where groups meet, both claim it"
    )
    return table


def pinned_table(pinned: Iterable[Pinned]) -> list[RenderableType]:
    """Return a table of pinned units, a row per reason; nothing if none is pinned."""
    reasons: dict[str, list[str]] = {}
    for units in pinned:
        reasons.setdefault(units.reason, []).append(f"{units.name} ({units.size})")
    if not reasons:
        return []
    table = table_of("pinned", "because")
    table.columns[1].no_wrap = False
    for reason, names in reasons.items():
        table.add_row(Text(", ".join(names)), Text(reason))
    return [table]
