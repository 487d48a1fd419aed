"""Where the cost of a network is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group as Stack
from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from autoprune.cost.energy import joules
from autoprune.foundation.tables import count, percent, size, table_of, title


def profile_view(name: str, facts: Mapping[str, Any]) -> RenderableType:
    """Show a profile: a row per layer, what is left over, the total, and what was assumed."""
    table = table_of("layer", "kind", "MACs", "params", "time", "energy", "of MACs")
    total = facts["total"]
    for row in (*facts["layers"], facts["other"], total):
        spent = row["milliseconds"]
        table.add_row(
            Text(row["name"]),
            row["kind"],
            count(row["macs"]),
            count(row["parameters"]),
            "" if spent is None else f"{1000 * spent:.1f} us",
            joules(1000 * row["picojoules"]),
            percent(row["macs"] / max(total["macs"], 1), 1),
            style="bold" if row is total else "",
        )
    summary = (
        f"per sample; {size(total['bytes'])}; time measured on {facts['device']} in batches of"
        f" {facts['batch']}, float32, batch norms folded"
    )
    notes = Text("\n".join(("energy is a model:", *facts["assumptions"])), style="dim")
    return Stack(title(name, summary), table, Padding(notes, (0, 0, 1, 1)))
