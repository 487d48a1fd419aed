"""View of a run that has not finished."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group as Stack
from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from autoprune.commands.report.result import Report
from autoprune.foundation.tables import percent, table_of, title


def report_view(report: Report) -> RenderableType:
    """Show a run as its command showed it, or its status if it has not finished."""
    return report.view


def status_view(facts: Mapping[str, Any]) -> RenderableType:
    """Show what was asked, how far the run is, and how to continue it."""
    config, best = facts["config"], facts["best"]
    inputs = " ".join(
        f"{name} {config[name]}" for name in ("model", "data", "budget") if config.get(name)
    )
    parts: list[RenderableType] = [title(f"{facts['command']}: {inputs}", f"{facts['run']}")]
    stage = f"not finished: {facts['records']} records in the journal"
    if best:
        stage = f"not finished: {facts['records']} of {config.get('evaluations', '?')} evaluations"
        table = table_of("group", "kept")
        for name, kept in best["plan"].items():
            table.add_row(Text(name), Text(str(kept)))
        table.caption = f"the best so far: {percent(best['score'])} on the search split"
        parts.append(table)
    lines = Text(f"{stage}\nthe command that began it goes on from there")
    return Stack(*parts, Padding(lines, (0, 0, 1, 1)))
