"""View of ``autoprune list``."""

from __future__ import annotations

from rich.console import Group as Stack
from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from autoprune.commands.list.run import Listing
from autoprune.foundation.tables import percent, table_of


def list_view(listing: Listing) -> RenderableType:
    """Show a line for each run, the latest first, and how to see more of one."""
    if not listing.runs:
        return Padding(Text(f"no run lies in {listing.place}"), (1, 0, 1, 1))
    table = table_of("run", "command", "score", "MACs left")
    table.columns[1].justify = "left"
    for one in listing.runs:
        asked = Text(f"{one.command} {one.asked}".strip() if one.command else one.state)
        if one.state == "unfinished":
            asked.append(" (not finished)", "yellow")
        score = "" if one.score is None else percent(one.score)
        left = "" if one.macs_left is None else percent(one.macs_left, 1)
        table.add_row(Text(one.run), asked, score, left)
    table.columns[1].no_wrap = False
    more = Text(f"one of them: autoprune report --run {listing.runs[0].run}")
    return Stack(table, Padding(more, (0, 0, 1, 1)))
