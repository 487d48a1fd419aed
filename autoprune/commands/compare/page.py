"""Page of ``autoprune compare``, ``report.html``: searchers side by side."""

from __future__ import annotations

from collections.abc import Iterable
from math import isinf
from pathlib import Path
from typing import Final

from autoprune.commands.compare.config import CompareConfig
from autoprune.commands.compare.plots import INTERVAL, band, by_budget, course, seeds, states
from autoprune.commands.compare.result import Comparison
from autoprune.foundation.charts import DENSE, colors_of
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
from autoprune.foundation.statistics import Estimate
from autoprune.foundation.tables import percent
from autoprune.foundation.terminal import duration

FILES: Final = {
    "report.html": "this page",
    "result.json": "every figure of it, and the plans",
    "search.png": "the searches and the test scores as a picture",
    "budgets.png": "scores for budgets as a picture, if several were compared",
    "*.jsonl": "every plan that a searcher tried",
}


def comparison_page(comparison: Comparison, run: Path, config: CompareConfig) -> str:
    """Return the page of a comparison."""
    number = seeds(comparison)
    below = (
        f"autoprune compare, {comparison.evaluations} evaluations each,"
        f" {number} seed{'s' * (number > 1)}"
    )
    title = f"Searchers for {comparison.network} on {comparison.data}"
    sections = [
        Section("Result", "result", tables=[_table(comparison, b) for b in comparison.trials]),
        Section("Pictures", "pictures", charts=list(_charts(comparison))),
        Section("What was asked", "asked", facts=asked(config)),
        files_section(str(run), {}, FILES),
    ]
    return page_text(Page(title, below, sections))


def _table(comparison: Comparison, budget: str) -> Table:
    """Return a row for every searcher: means over seeds with the margins of their intervals."""
    shown = states(comparison)
    heads = [f"budget {budget}", "search split", *(f"test, {name}" for name in shown), "time"]
    dense = Cell(percent(comparison.base), key="base")
    rows = [Row(["dense", "", dense, *("" for _ in list(shown)[1:]), ""])]
    for agent in comparison.trials[budget]:
        cells: list[Cell | str] = [agent]
        for measure in ("search_score", *shown.values()):
            found = comparison.estimate(budget, agent, measure)
            cells.append(Cell(_mean(found), key=f"{budget}/{agent}/{measure}"))
        seconds = comparison.estimate(budget, agent, "seconds").mean
        rows.append(Row([*cells, Cell(duration(seconds), time=True)]))
    caption = f"{comparison.metric}, {_over(comparison)}; the dense network on the test split."
    return Table(heads, rows, caption)


def _over(comparison: Comparison) -> str:
    """Say what the figures are over seeds; one seed leaves every interval open."""
    return f"means with {INTERVAL}" if seeds(comparison) > 1 else "one seed, hence no intervals"


def _mean(found: Estimate) -> str:
    return percent(found.mean) + ("" if isinf(found.margin) else f" ± {100 * found.margin:.2f}")


def _charts(comparison: Comparison) -> Iterable[Chart]:
    agents, unit = list(comparison.trials[comparison.budget]), f"{comparison.metric} [%]"
    colors, series = colors_of(agents), []
    for agent in agents:
        curve = course(comparison, agent)
        points = list(zip(map(float, curve.x), curve.y, strict=True))
        series.append(Series(agent, points, "steps", colors[agent], curve.low, curve.high))
    over = _over(comparison) if seeds(comparison) > 2 else "means of too few seeds for intervals"
    caption = f"Best score so far on the search split, {over}."
    yield Chart("Search", "evaluation", unit, series, caption)
    dense = Series("dense", [(0.0, 100 * comparison.base)], "level", DENSE)
    for state, measure in states(comparison).items():
        yield _scores(comparison, state, measure, dense)
        if len(comparison.trials) > 1:
            lines = []
            for agent in agents:
                spent = by_budget(comparison, agent, measure)
                places = [(100 * share, 100 * item.mean) for share, item in spent]
                edges = band([item for _, item in spent]) or ((), ())
                lines.append(Series(agent, places, "line", colors[agent], *edges))
            name, across = f"For each budget, {state}", "budget [% of the dense cost]"
            yield Chart(name, across, unit, [*lines, dense], f"Test split, {_over(comparison)}.")


def _scores(comparison: Comparison, state: str, measure: str, dense: Series) -> Chart:
    """Draw a point with its interval for every searcher, on the test split."""
    agents = list(comparison.trials[comparison.budget])
    colors, series = colors_of(agents), []
    for at, agent in enumerate(agents):
        found = comparison.estimate(comparison.budget, agent, measure)
        low, high = band([found]) or ((), ())
        hint = f"{agent}: {_mean(found)}"
        point = (float(at), 100 * found.mean)
        series.append(Series(agent, [point], "dots", colors[agent], low, high, [hint]))
    unit = f"{comparison.metric}, test split [%]"
    caption = f"Budget {comparison.budget}, {state}, {_over(comparison)}."
    return Chart(f"Test, {state}", "", unit, [*series, dense], caption, names=agents)
