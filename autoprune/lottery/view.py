"""The outcome of ``autoprune ticket`` for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from autoprune.lottery.outcome import CONTROLS


def tickets_view(result: Mapping[str, Any]) -> RenderableType:
    """Show accuracies and early-stop iterations by level, the verdict, and where everything is."""
    seeds = len(result["levels"][0]["seeds"])
    title = Text.assemble(
        (f"tickets of {result['model']} on {result['data']}", "bold"),
        "\n",
        (
            f"{result['method']}, {result['iterations']} iterations, rewound to"
            f" {result['rewind']}, {seeds} {'seed' if seeds == 1 else 'seeds'}",
            "dim",
        ),
    )
    at = next(iter(result["levels"][0]["seeds"][0]["ticket"]["accuracy_at"]), None)
    tables = [_starts(result["levels"][0], at)] if "macs" in result else _levels(result, at)
    said = Text("\n".join([*result["verdict"], *result["warnings"]]))
    place = Text.assemble("\neverything is in ", (result["run"], "bold"))
    return Group(Padding(title, (1, 0, 0, 1)), *tables, Padding(Group(said, place), (1, 0, 1, 1)))


def _starts(level: Mapping[str, Any], at: str | None) -> Table:
    """Show every start of one mask: means over seeds +- margins of the 95 % intervals."""
    shown = [("accuracy", "accuracy, %", 100, 2), ("early_stop", "early stop", 1, 0)]
    if at:
        shown.insert(1, (f"accuracy_at_{at}", f"after {at}, %", 100, 2))
    table = Table(box=SIMPLE_HEAD, header_style="dim", pad_edge=False, padding=(0, 1))
    table.add_column("start")
    for _, name, _, _ in shown:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("ticket minus it", justify="right", no_wrap=True)
    for start, figures in level["means"].items():
        gap = level["ticket_minus"].get(start, {}).get("accuracy")
        cells = [_cell(figures.get(name), scale, digits) for name, _, scale, digits in shown]
        table.add_row(start.replace("_", " "), *cells, _cell(gap, 100, 2))
    return table


def _levels(result: Mapping[str, Any], at: str | None) -> list[Table]:
    """Show accuracies and early-stop iterations by level."""
    tables = [_table(result, "accuracy", "test accuracy at the end, %", 100, 2)]
    if at:
        caption = f"test accuracy after {at} iterations, %"
        tables.append(_table(result, f"accuracy_at_{at}", caption, 100, 2))
    tables.append(_table(result, "early_stop", "iteration of the least validation loss", 1, 0))
    return tables


def _table(
    result: Mapping[str, Any], figure: str, caption: str, scale: float, digits: int
) -> Table:
    """Show one figure: level by kind, mean over seeds +- margin of the 95 % interval."""
    table = Table(box=SIMPLE_HEAD, header_style="dim", pad_edge=False, padding=(0, 1))
    table.title, table.title_justify, table.title_style = caption, "left", ""
    for name in ("left", "ticket", *CONTROLS):
        table.add_column(name, justify="right", no_wrap=True)
    for level in result["levels"]:
        cells = [
            _cell(level["means"][kind].get(figure), scale, digits) for kind in ("ticket", *CONTROLS)
        ]
        table.add_row(f"{100 * level['remaining']:.1f} %", *cells)
    return table


def _cell(value: Mapping[str, Any] | None, scale: float, digits: int) -> str:
    if value is None:
        return ""
    mean = f"{scale * value['mean']:.{digits}f}"
    if value["margin"] is None:
        return mean
    return f"{mean} ± {scale * value['margin']:.{digits}f}"
