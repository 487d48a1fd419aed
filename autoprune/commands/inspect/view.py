"""View of ``autoprune inspect``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Group as Stack
from rich.console import RenderableType
from rich.text import Text

from autoprune.commands.inspect.result import BranchFacts, Inspection
from autoprune.foundation.tables import bar, count, size, table_of, title, warning
from autoprune.structure.table import Group
from autoprune.structure.view import groups_table, pinned_table


def inspect_view(inspection: Inspection) -> RenderableType:
    """Show groups, totals, and the pinned units with the reasons."""
    groups = groups_table(
        (Group(group.name, group.size, group.kind), group.slices, group.macs_share)
        for group in inspection.groups
    )
    units = sum(group.size for group in inspection.groups)
    summary = (
        f"{units:,} units in {len(inspection.groups)} groups; {count(inspection.macs)} MACs ="
        f" {count(inspection.flops)} FLOPs per sample; {count(inspection.parameters)} parameters;"
        f" {size(inspection.bytes)}"
    )
    unused = (
        [warning(f"used in no forward pass, and kept as they are: {', '.join(inspection.unused)}")]
        if inspection.unused
        else []
    )
    branches, pinned = _branch_table(inspection.branches), pinned_table(inspection.pinned)
    return Stack(title(inspection.model, summary), groups, *branches, *pinned, *unused)


def _branch_table(branches: Sequence[BranchFacts]) -> list[RenderableType]:
    """Return a table of the branches, those in others below them; nothing if there are none."""
    if not branches:
        return []
    table = table_of("branch", "groups", "share of MACs", "share of time")
    for branch, depth in _nested(branches):
        time = "" if branch.time_share is None else f"{100 * branch.time_share:.0f} %"
        table.add_row(
            Text("  " * depth + branch.name), str(branch.groups), bar(branch.macs_share), time
        )
    table.caption = (
        "branches may go as a whole with --depth auto; share of time: of their modules, in PyTorch"
    )
    return [table]


def _nested(
    branches: Sequence[BranchFacts], inside: str | None = None, depth: int = 0
) -> Iterator[tuple[BranchFacts, int]]:
    """Yield each branch before those in it, and how deep it lies."""
    for branch in branches:
        if branch.inside == inside:
            yield branch, depth
            yield from _nested(branches, branch.name, depth + 1)
