"""View of a matching."""

from __future__ import annotations

from rich.console import Group as Stack
from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from autoprune.commands.match.result import Matched
from autoprune.foundation.tables import percent, table_of, title, warning
from autoprune.foundation.terminal import duration


def match_view(result: Matched) -> RenderableType:
    """Show the scores, and where the network lies."""
    table = table_of(f"{result.metric}, test split", "dense", "before", "matched", "change")
    change = f"{100 * (result.matched - result.before):+.2f}"
    scores = map(percent, (result.dense, result.before, result.matched))
    table.add_row(Text(result.network), *scores, change, style="bold")
    heading = title(
        f"matching of {result.source} on {result.data}",
        f"{result.steps} steps, {result.samples} samples without labels,"
        f" {duration(result.seconds)}, seed {result.seed}",
    )
    use = Text.assemble("use it:  ", (f'autoprune.load("{result.run}")', "cyan"))
    warned = (warning(text) for text in result.warnings)
    return Stack(heading, table, *warned, Padding(use, (0, 0, 1, 1)))
