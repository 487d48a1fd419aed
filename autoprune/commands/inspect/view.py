"""View of ``autoprune inspect``."""

from __future__ import annotations

from rich.console import Group as Stack
from rich.console import RenderableType

from autoprune.commands.inspect.result import Inspection
from autoprune.foundation.tables import count, size, title, warning
from autoprune.structure.table import Group
from autoprune.structure.view import branches_table, groups_table, pinned_table


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
    branches = branches_table(
        [
            (branch.name, branch.inside, branch.groups, branch.macs_share, branch.time_share)
            for branch in inspection.branches
        ]
    )
    pinned = pinned_table(inspection.pinned)
    return Stack(title(inspection.model, summary), groups, *branches, *pinned, *unused)
