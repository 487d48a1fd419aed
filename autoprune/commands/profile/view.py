"""View of ``autoprune profile``."""

from __future__ import annotations

from rich.console import Group as Stack
from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from autoprune.commands.profile.result import Profile
from autoprune.cost.energy import joules
from autoprune.foundation.tables import count, percent, size, table_of, title


def profile_view(profile: Profile) -> RenderableType:
    """Show a row per layer, all other modules together, the total, and the assumptions."""
    table = table_of("layer", "kind", "MACs", "params", "time", "energy", "of MACs")
    total = profile.total
    for row in (*profile.layers, profile.other, total):
        table.add_row(
            Text(row.name),
            row.kind,
            count(row.macs),
            count(row.parameters),
            "" if row.milliseconds is None else f"{1000 * row.milliseconds:.1f} us",
            joules(1000 * row.picojoules),
            percent(row.macs / max(total.macs, 1), 1),
            style="bold" if row is total else "",
        )
    summary = (
        f"per sample; {size(total.bytes)}; time measured on {profile.device} in batches of"
        f" {profile.batch}, float32, batch norms folded"
    )
    notes = Text("\n".join(("energy is a model:", *profile.assumptions)), style="dim")
    return Stack(title(profile.model, summary), table, Padding(notes, (0, 0, 1, 1)))
