"""View of ``autoprune ticket``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group as Stack
from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text


def ticket_view(result: Mapping[str, Any]) -> RenderableType:
    """Show accuracies and early-stop iterations by level, the verdict, and the run directory."""
    seeds = len(result["levels"][0]["seeds"])
    title = Text.assemble(
        (f"tickets of {result['model']} on {result['data']}{_transfer_text(result)}", "bold"),
        "\n",
        (
            f"{result['method']}, {result['iterations']} iterations, rewound to"
            f" {result['rewind']}, {seeds} {'seed' if seeds == 1 else 'seeds'}",
            "dim",
        ),
    )
    at = _shown_iteration(result["levels"][0]["seeds"][0]["ticket"]["accuracy_at"])
    if at == str(result["iterations"]):
        at = None  # the end is shown anyway
    one = len(result["levels"]) == 1
    tables = [_starts_table(result["levels"][0], at)] if one else _level_tables(result, at)
    if "analysis" in result:
        tables.append(_movement_table(result["analysis"]))
    verdict = Text("\n".join([*result["verdict"], *_barrier_lines(result), *result["warnings"]]))
    where = Text.assemble(
        "\neverything is in ", (result["run"], "bold"), f" (plots: {', '.join(result['plots'])})"
    )
    return Stack(
        Padding(title, (1, 0, 0, 1)), *tables, Padding(Stack(verdict, where), (1, 0, 1, 1))
    )


def _barrier_lines(result: Mapping[str, Any]) -> list[str]:
    """Return a line about the error barriers between trainings on two orders of the data."""
    analysis = result.get("analysis", {})
    if "barrier" not in analysis:
        return []
    dense, last = (_cell(analysis[name], 100, 2) for name in ("barrier_dense", "barrier"))
    left = f"{100 * analysis['remaining']:.1f} %"
    return [
        "Between trainings on two orders of the data the error rises by"
        f" {dense} points for the dense network, by {last} for the ticket with {left} left"
        " (up to 2 counts as stable)."
    ]


def _transfer_text(result: Mapping[str, Any]) -> str:
    return f", trained on {result['transfer_to']}" if "transfer_to" in result else ""


def _starts_table(level: Mapping[str, Any], at: str | None) -> Table:
    """Show all kinds of training of one mask: means over seeds +- margins of 95 % intervals."""
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


def _level_tables(result: Mapping[str, Any], at: str | None) -> list[Table]:
    """Show accuracies and early-stop iterations by level."""
    tables = [_figure_table(result, "accuracy", "test accuracy at the end, %", 100, 2)]
    if at:
        caption = f"test accuracy after {at} iterations, %"
        tables.append(_figure_table(result, f"accuracy_at_{at}", caption, 100, 2))
    tables.append(
        _figure_table(result, "early_stop", "iteration of the least validation loss", 1, 0)
    )
    return tables


def _figure_table(
    result: Mapping[str, Any], figure: str, caption: str, scale: float, digits: int
) -> Table:
    """Show one figure: level by kind, mean over seeds +- margin of the 95 % interval."""
    table = Table(box=SIMPLE_HEAD, header_style="dim", pad_edge=False, padding=(0, 1))
    table.title, table.title_justify, table.title_style = caption, "left", ""
    kinds = list(result["levels"][0]["means"])
    for name in (result.get("by", "left"), *kinds):
        table.add_column(name, justify="right", no_wrap=True)
    for level in result["levels"]:
        cells = [_cell(level["means"][kind].get(figure), scale, digits) for kind in kinds]
        table.add_row(level.get("name") or f"{100 * level['remaining']:.1f} %", *cells)
    return table


def _movement_table(analysis: Mapping[str, Any]) -> Table:
    """Show the distances that weights moved in the dense training, for the last level's ticket."""
    table = Table(box=SIMPLE_HEAD, header_style="dim", pad_edge=False, padding=(0, 1))
    table.title = f"mean distance from the initial value, {100 * analysis['remaining']:.1f} % left"
    table.title_justify, table.title_style = "left", ""
    for name in ("layer", "inside", "outside", "matched", "grew: inside", "matched", "sign kept"):
        table.add_column(name, justify="left" if name == "layer" else "right", no_wrap=True)
    for layer, parts in analysis["movement"].items():
        inside, outside, matched = (parts[name] for name in ("inside", "outside", "matched"))
        if not (inside and outside and matched):
            continue
        distances = [f"{part['moved']:.4f}" for part in (inside, outside, matched)]
        shares = [f"{100 * value:.0f} %" for value in (inside["grew"], matched["grew"])]
        table.add_row(layer, *distances, *shares, f"{100 * inside['sign']:.0f} %")
    return table


def _shown_iteration(accuracy_at: Mapping[str, float]) -> str | None:
    """Return the iteration whose accuracy is shown: 300, or else the first that was reported."""
    return "300" if "300" in accuracy_at else next(iter(accuracy_at), None)


def _cell(value: Mapping[str, Any] | None, scale: float, digits: int) -> str:
    if value is None:
        return ""
    mean = f"{scale * value['mean']:.{digits}f}"
    if value["margin"] is None:
        return mean
    return f"{mean} ± {scale * value['margin']:.{digits}f}"
