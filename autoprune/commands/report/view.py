"""How a run that has not finished stands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group as Stack
from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from autoprune.foundation.tables import percent, table_of, title


def status_view(facts: Mapping[str, Any]) -> RenderableType:
    """Show what was asked, how far it has come, and how to go on."""
    config, best = facts["config"], facts["best"]
    inputs = " ".join(
        f"{name} {config[name]}" for name in ("model", "data", "budget") if config.get(name)
    )
    parts: list[RenderableType] = [title(f"{facts['command']}: {inputs}", f"{facts['run']}")]
    said = f"not finished: {facts['records']} records in the journal"
    if best:
        said = f"not finished: {facts['records']} of {config.get('evaluations', '?')} evaluations"
        table = table_of("group", "kept")
        for name, kept in best["plan"].items():
            table.add_row(Text(name), str(kept))
        table.caption = f"the best so far: {percent(best['score'])} on the search split"
        parts.append(table)
    lines = Text(f"{said}\nthe command that began it goes on from there")
    return Stack(*parts, Padding(lines, (0, 0, 1, 1)))
