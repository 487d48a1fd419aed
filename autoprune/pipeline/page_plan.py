"""Plan of a pruning run on its page: what stays of every group, what goes, and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from autoprune.foundation.page import Cell, Row, Section, Table
from autoprune.foundation.tables import percent
from autoprune.pipeline.result import GroupKeep, Result
from autoprune.structure.table import BRANCH, Pinned


def plan_section(
    result: Result, pinned: Iterable[Pinned], floors: Mapping[str, int], *, data_seen: bool
) -> Section:
    """Show the plan by group, and what could not be pruned.

    ``data_seen``: whether the ranking predicts the loss, rather than a share of importance.
    """
    known = any(group.error is not None for group in result.groups)
    units = "units" if result.granularity == "channel" else "weights"
    loses = "of the predicted loss" if data_seen else "importance lost"
    heads = ["group", "kind", units, "kept", "", "of MACs", *([loses] if known else []), ""]
    whole = sum(group.error or 0.0 for group in result.groups) if data_seen else 1.0
    rows = [
        _row(group, floors.get(group.name, 1), whole if known else None)
        for group in result.groups
        if group.kind != BRANCH or not group.kept  # a branch that stays is what its groups are
    ]
    caption = "Of MACs: what goes with the whole group; where groups meet, both claim it." + (
        f" {loses.capitalize()}: {_MEANING[data_seen]}." if known else ""
    )
    tables = [Table(heads, rows, caption)]
    reasons: dict[str, list[str]] = {}
    for one in pinned:
        reasons.setdefault(one.reason, []).append(f"{one.name} ({one.size})")
    if reasons:
        rows = [
            Row([Cell(", ".join(names)), Cell(reason, wide=True)])
            for reason, names in reasons.items()
        ]
        tables.append(Table(("could not be pruned (units)", "because"), rows))
    return Section("Plan", "plan", tables=tables)


_MEANING = {
    True: "the group's part of the rise of the loss that the ranking expects of the whole plan",
    False: "the share of the group's importance that went, by its ranking",
}


def _row(group: GroupKeep, floor: int, whole: float | None) -> Row:
    """Return the row of a group; ``whole``: what its error is a part of, None if none is known."""
    part = group.kept / max(group.size, 1)
    cells: list[Cell | str] = [
        group.name,
        group.kind,
        f"{group.size:,}",
        Cell(f"{group.kept:,}", key=f"kept:{group.name}"),
        Cell(percent(part, 0), part),
        percent(group.share, 1),
    ]
    if whole is not None:
        cells.append(percent((group.error or 0.0) / whole, 1) if whole else "")
    return Row([*cells, Cell(_why(group, floor))], "" if group.kept else "gone")


def _why(group: GroupKeep, floor: int) -> str:
    if not group.kept:
        return "gone as a whole" if group.kind == BRANCH else "gone with its branch"
    if 1 < floor == group.kept:
        return "held by --keep or --only"
    return "whole" if group.kept == group.size else ""
