"""Leaderboard of ``autoprune suite`` as text, and the lines that every table carries."""

from __future__ import annotations

from collections.abc import Mapping

from autoprune.commands.suite.result import Standing, SuiteResult
from autoprune.commands.suite.surrogate import ENOUGH

CORRECTED = (
    "Differences are paired by seed; 95 % intervals hold for all of a table together (Bonferroni),"
    " and who differs is decided by Holm's procedure."
)

SCOPE = (
    "Seeds vary the searcher only: network, samples and ranking are those of the table, so an"
    " interval says nothing about other networks."
)


def caveat(quality: Mapping[str, float] | None) -> str:
    """Say how good the answers are that are not in the table."""
    if quality is None:
        return "No answer is a guess: plans are in the table, or were evaluated."
    low = min(quality["spearman"], quality["top"])
    told = (
        f"Plans in no row are answered by a surrogate: rank correlation {quality['spearman']:.3f},"
        f" in the best tenth {quality['top']:.3f}, on {quality['plans']:.0f} plans never fitted;"
        f" relative error of the loss {quality['rmse']:.4f}, there {quality['top_rmse']:.4f}"
    )
    if low >= ENOUGH:
        return f"{told}."
    return f"{told}. That is below {ENOUGH}: differences of this size or less are not certain."


def short_caveat(standing: Standing) -> str:
    """Say in a few words whether the answers at a budget are certain."""
    quality = standing.quality
    if quality is None:
        return "no answer is a guess"
    low = min(quality["spearman"], quality["top"])
    mark = "" if low >= ENOUGH else f", below {ENOUGH}"
    return f"surrogate {quality['spearman']:.3f}, best tenth {quality['top']:.3f}{mark}"


def leaderboard_text(result: SuiteResult) -> str:
    """Return the leaderboard as Markdown."""
    standings = sum(len(task.standings) for task in result.tasks)
    lines = [
        "# Searchers on equal evaluations",
        "",
        f"Suite {result.versions['suite']}, {result.evaluations} evaluations, {result.seeds} seeds,"
        f" {standings} budgets of {len(result.tasks)} tasks. Rank and regret are means over them;"
        " regret is 0 for the best recorded plan, 1 for the uniform one.",
        "",
        "| searcher | rank | regret | best at | worse than the best at | from table | evaluated"
        " | guessed |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in result.leaderboard():
        counted = row["answered"]
        lines.append(
            f"| {row['searcher']} | {_number(row['rank'], 2)} | {_number(row['regret'], 3)}"
            f" | {row['best']} | {row['told_apart']} | {counted['table']}"
            f" | {counted['evaluated']} | {counted['surrogate']} |"
        )
    lines += [""]
    for task in result.tasks:
        lines += [f"- {task.name} {one.budget}: {caveat(one.quality)}" for one in task.standings]
    lines += [f"- table {name} was skipped: {why}" for name, why in result.skipped.items()]
    lines += [f"- {name} was left out: {why}" for name, why in complaints(result).items()]
    return "\n".join([*lines, "", CORRECTED, SCOPE, ""])


def complaints(result: SuiteResult) -> dict[str, str]:
    """Return why a searcher has no result, by name."""
    found: dict[str, str] = {}
    for task in result.tasks:
        for one in task.standings:
            for name, entry in one.entries.items():
                if entry.complaint:
                    found.setdefault(name, entry.complaint)
    return found


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
