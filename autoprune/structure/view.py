"""Tables of a structure: its groups, and what is pinned and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from io import StringIO

from rich.console import Console, RenderableType
from rich.console import Group as Stack
from rich.table import Table
from rich.text import Text

from autoprune.foundation.tables import bar, table_of
from autoprune.structure.table import Branch, Group, Pinned, Structure

WIDTH = 100

BranchRow = tuple[str, str | None, int, float, float | None]
"""Name of a branch, the one that it is in, its groups, its share of MACs and of time, if known."""


def structure_text(structure: Structure) -> str:
    """Return the tables as ``autoprune inspect`` prints them, without colors."""
    rows = [
        (group, len(structure.slices[group.name]), macs_share(structure, group.name))
        for group in structure.groups
    ]
    console = Console(file=StringIO(), width=WIDTH, color_system=None, force_jupyter=False)
    with console.capture() as capture:
        branches = branches_table(_branch_rows(structure))
        console.print(Stack(groups_table(rows), *branches, *pinned_table(structure.pinned)))
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


def branches_table(branches: Sequence[BranchRow]) -> list[RenderableType]:
    """Return a table of the branches, those in others below them; nothing if there are none."""
    if not branches:
        return []
    timed = any(time is not None for *_, time in branches)
    table = table_of("branch", "groups", "share of MACs", *(["share of time"] if timed else []))
    for (name, _, groups, share, time), depth in _nested(branches):
        times = [f"{100 * time:.0f} %"] if time is not None else []
        table.add_row(Text("  " * depth + name), str(groups), bar(share), *times)
    table.caption = "branches may go as a whole with --depth auto" + (
        "; share of time: of their modules, in PyTorch" if timed else ""
    )
    return [table]


def innermost(structure: Structure, branch: Branch) -> str | None:
    """Return the smallest branch that a branch is a part of, if any."""
    parts = Counter(outer for other in structure.branches for outer in other.outer)
    return min(branch.outer, key=lambda outer: parts[outer], default=None)


def branch_share(structure: Structure, branch: Branch) -> float:
    """Return the part of all MACs that goes with a branch."""
    layers = structure.layers
    dense, gone = (
        sum(product(structure.sizes) for place in places for product in layers[place].macs)
        for places in (range(len(layers)), branch.layers)
    )
    return gone / max(dense, 1)


def _branch_rows(structure: Structure) -> list[BranchRow]:
    return [
        (one.name, innermost(structure, one), len(one.groups), branch_share(structure, one), None)
        for one in structure.branches
    ]


def _nested(
    branches: Sequence[BranchRow], inside: str | None = None, depth: int = 0
) -> Iterator[tuple[BranchRow, int]]:
    """Yield each branch before those in it, and how deep it lies."""
    for branch in branches:
        if branch[1] == inside:
            yield branch, depth
            yield from _nested(branches, branch[0], depth + 1)


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
