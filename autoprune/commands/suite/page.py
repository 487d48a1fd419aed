"""Page of ``autoprune suite``, ``report.html``: leaderboard, curves, tables."""

from __future__ import annotations

from collections.abc import Iterator
from math import isinf
from pathlib import Path
from statistics import fmean
from typing import Final

from autoprune.commands.suite.config import SuiteConfig
from autoprune.commands.suite.leaderboard import CORRECTED, SCOPE, caveat, complaints
from autoprune.commands.suite.result import Scoreboard, Standing, SuiteResult
from autoprune.foundation.charts import colors_of
from autoprune.foundation.figure import Chart, Series
from autoprune.foundation.page import (
    Cell,
    Page,
    Row,
    Section,
    Table,
    asked,
    files_section,
    page_text,
)
from autoprune.foundation.tables import percent

FILES: Final = {
    "report.html": "this page",
    "leaderboard.md": "the leaderboard, to paste; leaderboard.json for programs",
    "result.json": "every search: losses, curves, chosen plans, where answers came from",
    "times.json": "seconds of each searcher per search",
}

ROOF: Final = 1.5
"""Largest regret that is drawn."""


def suite_page(result: SuiteResult, run: Path, config: SuiteConfig) -> str:
    """Return the page of a suite; times are left out, so that the same suite gives the same."""
    below = (
        f"autoprune suite, suite {result.versions['suite']}, {result.evaluations} evaluations,"
        f" {result.seeds} seed{'s' * (result.seeds > 1)}"
    )
    warnings = [f"table {name} was skipped: {why}" for name, why in result.skipped.items()]
    warnings += [f"{name} was left out: {why}" for name, why in complaints(result).items()]
    sections = [
        Section(
            "Leaderboard",
            "leaderboard",
            notes=[CORRECTED, SCOPE],
            tables=[_leaderboard(result)],
            warnings=warnings,
        ),
        *(_section(task) for task in result.tasks),
        Section("What was asked", "asked", facts=asked(config)),
        files_section(str(run), {}, FILES),
    ]
    return page_text(Page("Searchers on equal evaluations", below, sections))


def _leaderboard(result: SuiteResult) -> Table:
    heads = ["searcher", "rank", "regret", "best at", "worse than the best at", "table", "guessed"]
    rows = []
    for row in result.leaderboard():
        name, counted = row["searcher"], row["answered"]
        rank = "-" if row["rank"] is None else f"{row['rank']:.2f}"
        regret = "-" if row["regret"] is None else f"{row['regret']:.3f}"
        rows.append(
            Row(
                [
                    name,
                    Cell(rank, key=f"{name}/rank"),
                    Cell(regret, key=f"{name}/regret"),
                    f"{row['best']} of {row['standings']}",
                    f"{row['told_apart']} of {row['standings']}",
                    str(counted["table"]),
                    str(counted["surrogate"]),
                ]
            )
        )
    caption = "Means over all budgets of all tasks; regret: 0 best recorded plan, 1 uniform plan."
    return Table(heads, rows, caption)


def _section(task: Scoreboard) -> Section:
    return Section(
        task.name,
        task.name,
        charts=list(_charts(task)),
        tables=[_table(task.name, one) for one in task.standings if one.sound],
    )


def _charts(task: Scoreboard) -> Iterator[Chart]:
    for one in task.standings:
        names = list(one.sound)
        if not names:
            continue
        colors = colors_of(names)
        series = [
            Series(name, [(float(at), y) for at, y in one.regrets(name)], "steps", colors[name])
            for name in names
        ]
        caption = f"Mean regret of the best plan so far, budget {one.budget}."
        yield Chart(one.budget, "evaluation", "regret", series, caption, roof=ROOF)


def _table(task: str, one: Standing) -> Table:
    heads = [f"budget {one.budget}", "rank", "loss", "behind the best", "told apart", "test"]
    rows = []
    for name in sorted(one.sound, key=one.ranks.__getitem__):
        entry, gap = one.entries[name], one.gaps[name]
        margin = "" if isinf(gap.margin) else f" ± {gap.margin:.4f}"
        rows.append(
            Row(
                [
                    name,
                    f"{one.ranks[name]:g}",
                    Cell(f"{fmean(entry.losses):.4f}", key=f"{task}/{one.budget}/{name}/loss"),
                    "best" if gap.mean == 0 else f"{gap.mean:.4f}{margin}",
                    "yes" if gap.apart else "no",
                    percent(fmean(entry.test_accuracies)),
                ]
            )
        )
    caption = f"Search loss, and test accuracy of the chosen plans. {caveat(one.quality)}"
    return Table(heads, rows, caption)
