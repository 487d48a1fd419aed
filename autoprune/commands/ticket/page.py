"""Page of ``autoprune ticket``, ``report.html``: tickets, their controls and the verdict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from autoprune.commands.ticket.evidence.summary import Level
from autoprune.commands.ticket.plots import COLORS_OF, FIGURES, KINDS, learning_curve, level_curve
from autoprune.foundation.charts import Curve
from autoprune.foundation.figure import Chart, Look, Series
from autoprune.foundation.page import Cell, Page, Row, Section, Table, files_section, page_text

FILES = {
    "report.html": "this page",
    "result.json": "every figure of it, seed by seed",
    "*.png": "its pictures, for papers and slides",
    "seed-N": "weights and masks of every ticket",
}


def ticket_page(
    result: Mapping[str, Any], levels: Sequence[Level], facts: Mapping[str, str]
) -> str:
    """Return the page of a study; ``facts``: what was asked."""
    seeds = len(result["levels"][0]["seeds"])
    below = (
        f"autoprune ticket, {result['method']}, {result['iterations']} iterations,"
        f" {seeds} {'seed' if seeds == 1 else 'seeds'}"
    )
    course = [_course(level) for level in _few(levels)]
    sections = [
        Section(
            "Result",
            "result",
            notes=result["verdict"],
            warnings=result["warnings"],
            charts=list(_levels(result["levels"])),
            tables=[_table(result, "accuracy", "test accuracy at the end")],
        ),
        Section("Learning", "learning", charts=course),
        Section("What was asked", "asked", facts=dict(facts)),
        files_section(result["run"], {}, FILES),
    ]
    return page_text(Page(f"Tickets of {result['model']} on {result['data']}", below, sections))


def _table(result: Mapping[str, Any], figure: str, caption: str) -> Table:
    """Return a row for every level: means over seeds with the margins of their intervals."""
    kinds = list(result["levels"][0]["means"])
    rows = []
    for at, level in enumerate(result["levels"]):
        name = level.get("name") or f"{100 * level['remaining']:.1f} %"
        cells: list[Cell | str] = [name]
        for kind in kinds:
            found = level["means"][kind].get(figure)
            cells.append(Cell(_mean(found), key=f"{at}/{kind}/{figure}") if found else "")
        rows.append(Row(cells))
    heads = [result.get("by", "weights left"), *(kind.replace("_", " ") for kind in kinds)]
    return Table(heads, rows, f"{caption}, means with 95 % intervals over seeds.")


def _mean(found: Mapping[str, Any]) -> str:
    text = f"{100 * found['mean']:.2f} %"
    return text if found["margin"] is None else f"{text} ± {100 * found['margin']:.2f}"


def _levels(entries: Sequence[Mapping[str, Any]]) -> Iterable[Chart]:
    """Yield a chart of every figure over the weights left; none for a study of one mask."""
    shares = [100 * entry["remaining"] for entry in entries]
    if len(set(shares)) < len(shares) or len(shares) < 2:
        return
    marks = shares[:: max(1, len(shares) // 5)]
    kinds = [kind for kind in KINDS if kind in entries[0]["means"]]
    for figure, (title, label, scale) in FIGURES.items():
        if figure not in entries[0]["means"]["ticket"]:
            continue
        series = [
            _series(kind, level_curve(entries, kind, figure, scale), "line") for kind in kinds
        ]
        caption = "Means over seeds, bars from the least to the greatest."
        yield Chart(title, "weights left [%]", label, series, caption, marks=marks)


def _course(level: Level) -> Chart:
    kinds = [kind for kind in KINDS if kind in level.trials[0]]
    series = [
        _series(kind, learning_curve([trials[kind].curve for trials in level.trials]), "band")
        for kind in kinds
    ]
    caption = "Means over seeds, bands from the least to the greatest."
    return Chart(level.title, "iteration", "validation accuracy [%]", series, caption)


def _series(kind: str, curve: Curve, look: Look) -> Series:
    name = kind.replace("_", " ")
    points = list(zip(curve.x, curve.y, strict=True))
    several = any(low < high for low, high in zip(curve.low, curve.high, strict=True))
    low, high = (curve.low, curve.high) if several else ((), ())
    return Series(name, points, look, COLORS_OF.get(name, 7), low, high)


def _few(levels: Sequence[Level]) -> list[Level]:
    """Return the first level, the last, and the one between them."""
    places = dict.fromkeys((0, (len(levels) - 1) // 2, len(levels) - 1))
    return [levels[place] for place in places]
