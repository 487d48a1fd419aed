"""View of ``autoprune suite``."""

from __future__ import annotations

from math import isinf
from pathlib import Path
from statistics import fmean

from rich.console import Group as Stack
from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from autoprune.commands.suite.leaderboard import CORRECTED, SCOPE, complaints, short_caveat
from autoprune.commands.suite.result import REACHED, Scoreboard, Standing, SuiteResult
from autoprune.foundation.tables import percent, table_of, title, warning
from autoprune.foundation.terminal import duration


def suite_view(result: SuiteResult, run: Path) -> RenderableType:
    """Show the leaderboard, a table for each budget, what is uncertain, and where the files are."""
    below = (
        f"suite {result.versions['suite']}, {result.evaluations} evaluations each,"
        f" {result.seeds} seeds; regret: 0 best recorded plan, 1 uniform"
    )
    parts = [title("Searchers on equal evaluations", below), _leaderboard(result)]
    parts += [_table(task, one) for task in result.tasks for one in task.standings]
    parts += [Padding(Text(f"{CORRECTED} {SCOPE}", "dim"), (0, 0, 1, 1))]
    parts += [warning(f"table {name} was skipped: {why}") for name, why in result.skipped.items()]
    parts += [warning(f"{name} was left out: {why}") for name, why in complaints(result).items()]
    where = Text.assemble("leaderboard and page: ", (str(run), "bold"))
    return Stack(*parts, Padding(where, (0, 0, 1, 1)))


def _short(name: str) -> Text:
    """Return the name of a searcher without its file, so that a row fits a line."""
    return Text(name.rpartition(":")[2])


def _leaderboard(result: SuiteResult) -> RenderableType:
    heads = ("rank", "regret", "best at", "worse at", "guessed", "own time")
    table = table_of("searcher", *heads)
    for row in result.leaderboard():
        name, counted = row["searcher"], row["answered"]
        seconds = result.seconds.get(name)
        table.add_row(
            _short(name),
            "-" if row["rank"] is None else f"{row['rank']:.2f}",
            "-" if row["regret"] is None else f"{row['regret']:.3f}",
            f"{row['best']}/{row['standings']}",
            f"{row['told_apart']}/{row['standings']}",
            percent(counted["surrogate"] / max(sum(counted.values()), 1), 0),
            "" if seconds is None else duration(seconds),
        )
    return table


def _table(task: Scoreboard, standing: Standing) -> RenderableType:
    name = f"{task.name} {standing.budget}"
    table = table_of(name, "rank", "loss", "behind the best", "test", f"regret {REACHED} at")
    for searcher in sorted(standing.sound, key=standing.ranks.__getitem__):
        entry, gap = standing.entries[searcher], standing.gaps[searcher]
        margin = "" if isinf(gap.margin) else f" +- {gap.margin:.4f}"
        reached = standing.reached(searcher)
        table.add_row(
            _short(searcher),
            f"{standing.ranks[searcher]:g}",
            f"{fmean(entry.losses):.4f}",
            "best" if gap.mean == 0 else f"{gap.mean:.4f}{margin}{' *' if gap.apart else ''}",
            percent(fmean(entry.test_accuracies)),
            "never" if reached is None else f"{reached:g}",
        )
    for searcher in standing.entries.keys() - standing.sound.keys():
        table.add_row(_short(searcher), "", "failed", "", "", "")
    table.caption = f"{short_caveat(standing)}; *: worse than the best"
    return table
