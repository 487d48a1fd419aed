"""The outcome of ``autoprune ticket`` for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text


def ticket_view(result: Mapping[str, Any]) -> RenderableType:
    """Show accuracies and early-stop iterations by level, the verdict, and where everything is."""
    seeds = len(result["levels"][0]["seeds"])
    title = Text.assemble(
        (f"tickets of {result['model']} on {result['data']}{_elsewhere(result)}", "bold"),
        "\n",
        (
            f"{result['method']}, {result['iterations']} iterations, rewound to"
            f" {result['rewind']}, {seeds} {'seed' if seeds == 1 else 'seeds'}",
            "dim",
        ),
    )
    at = _mark(result["levels"][0]["seeds"][0]["ticket"]["accuracy_at"])
    if at == str(result["iterations"]):
        at = None  # the end stands there already
    one = len(result["levels"]) == 1
    tables = [_starts(result["levels"][0], at)] if one else _levels(result, at)
    if "analysis" in result:
        tables.append(_moved(result["analysis"]))
    said = Text("\n".join([*result["verdict"], *_barrier(result), *result["warnings"]]))
    place = Text.assemble(
        "\neverything is in ", (result["run"], "bold"), f" (plots: {', '.join(result['plots'])})"
    )
    return Group(Padding(title, (1, 0, 0, 1)), *tables, Padding(Group(said, place), (1, 0, 1, 1)))


def _barrier(result: Mapping[str, Any]) -> list[str]:
    """Say how high the error rises between two orders of the data."""
    found = result.get("analysis", {})
    if "barrier" not in found:
        return []
    dense, last = (_cell(found[name], 100, 2) for name in ("barrier_dense", "barrier"))
    left = f"{100 * found['remaining']:.1f} %"
    return [
        "Between trainings on two orders of the data the error rises by"
        f" {dense} points for the dense network, by {last} for the ticket with {left} left"
        " (up to 2 counts as stable)."
    ]


def _elsewhere(result: Mapping[str, Any]) -> str:
    return f", trained on {result['transfer_to']}" if "transfer_to" in result else ""


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
    kinds = list(result["levels"][0]["means"])
    for name in (result.get("by", "left"), *kinds):
        table.add_column(name, justify="right", no_wrap=True)
    for level in result["levels"]:
        cells = [_cell(level["means"][kind].get(figure), scale, digits) for kind in kinds]
        table.add_row(level.get("name") or f"{100 * level['remaining']:.1f} %", *cells)
    return table


def _moved(analysis: Mapping[str, Any]) -> Table:
    """Show how far weights moved in the dense training, for the last level's ticket."""
    table = Table(box=SIMPLE_HEAD, header_style="dim", pad_edge=False, padding=(0, 1))
    table.title = f"mean distance from the initial value, {100 * analysis['remaining']:.1f} % left"
    table.title_justify, table.title_style = "left", ""
    for name in ("layer", "inside", "outside", "matched", "grew: inside", "matched", "sign kept"):
        table.add_column(name, justify="left" if name == "layer" else "right", no_wrap=True)
    for layer, places in analysis["movement"].items():
        inside, outside, matched = (places[name] for name in ("inside", "outside", "matched"))
        if not (inside and outside and matched):
            continue
        distances = [f"{place['moved']:.4f}" for place in (inside, outside, matched)]
        shares = [f"{100 * value:.0f} %" for value in (inside["grew"], matched["grew"])]
        table.add_row(layer, *distances, *shares, f"{100 * inside['sign']:.0f} %")
    return table


def _mark(marks: Mapping[str, float]) -> str | None:
    """Choose the iteration whose accuracy is shown: 300, or the first there is."""
    return "300" if "300" in marks else next(iter(marks), None)


def _cell(value: Mapping[str, Any] | None, scale: float, digits: int) -> str:
    if value is None:
        return ""
    mean = f"{scale * value['mean']:.{digits}f}"
    if value["margin"] is None:
        return mean
    return f"{mean} ± {scale * value['margin']:.{digits}f}"
