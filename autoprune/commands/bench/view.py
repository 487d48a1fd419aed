"""View of ``autoprune bench``: for a terminal, as Markdown, and as a bar chart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from rich.console import Group as Stack
from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from autoprune.commands.bench.result import BLAMED, Bench
from autoprune.foundation.charts import canvas, draw_bars
from autoprune.foundation.tables import count, milliseconds, percent, size, table_of, title

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WORST: Final = 3
"""Most layers to blame that are named."""

HEADS: Final = (
    *("size", "ms per batch", "MACs", "size /", "aim", "time /", "aim", "realized", "accuracy"),
)


def bench_view(bench: Bench) -> RenderableType:
    """Show size, time and accuracy, and which layers are to blame where time lags behind MACs."""
    facts = bench.to_json()
    rows, on = facts["rows"], facts["machine"]
    first = rows[0]
    below = (
        f"rate {first['rate']:g}; batches of {first['batch']}, dense and pruned in turns;"
        f" {on['device']}, {on['threads']} thread(s)"
    )
    sizes = table_of("network", "file size", "ratio", "aim")
    times = table_of("network", "ms per batch", "ratio", "aim", "MACs /", "realized")
    scores = table_of("network", "before", "after", "change")
    for row in rows:
        name, cells = Text(row["model"]), _cells(row)
        sizes.add_row(name, cells[0], cells[3], cells[4])
        macs = f"{row['macs_ratio']:.1f}"
        times.add_row(name, cells[1], cells[5], cells[6], macs, cells[7])
        if row["accuracy_before"] is not None:
            before, after = row["accuracy_before"], row["accuracy_after"]
            scores.add_row(name, percent(before), percent(after), f"{100 * (after - before):+.2f}")
    notes = Padding(Text("\n".join(_notes(rows))), (0, 0, 1, 1))
    parts: list[RenderableType] = [sizes, times, *([scores] if scores.row_count else []), notes]
    return Stack(title("before -> after pruning", below), *parts)


def bench_markdown(facts: Mapping[str, Any]) -> str:
    """Return what ``bench.json`` holds as a table in Markdown."""
    on, first = facts["machine"], facts["rows"][0]
    lines = [
        f"# Size and time at a pruning rate of {first['rate']:g}",
        "",
        "| network | " + " | ".join(HEADS) + " |",
        "|" + " --- |" * (len(HEADS) + 1),
        *(f"| {row['model']} | " + " | ".join(_cells(row)) + " |" for row in facts["rows"]),
        "",
        f"Milliseconds per batch of {first['batch']}, dense and pruned in turns in one run;"
        " `size /` and `time /` are ratios before : after beside the published ones; `realized` is"
        " the speed-up as a part of the reduction in MACs.",
        "",
        *(f"- {note}" for note in _notes(facts["rows"])),
        "",
        f"Machine: {on['device']}, {on['cores']} cores, {on['threads']} thread(s), torch"
        f" {on['torch']}",
    ]
    return "\n".join(lines) + "\n"


def bench_figure(facts: Mapping[str, Any]) -> Figure:
    """Draw both ratios of what ``bench.json`` holds, beside the published ones."""
    rows: Sequence[Mapping[str, Any]] = facts["rows"]
    figure, plots = canvas(1, 2)
    labels = [row["model"] for row in rows]
    for axes, ratio in zip(plots, ("size", "time"), strict=True):
        series = {"autoprune": [row[f"{ratio}_ratio"] for row in rows]}
        if all(row["reference"] for row in rows):
            series["published"] = [row["reference"][ratio] for row in rows]
        draw_bars(axes, labels, series)
        axes.set(title=f"{ratio} at rate {rows[0]['rate']:g}", ylabel="before : after [times]")
        axes.tick_params(axis="x", labelsize=8)
    return figure


def _cells(row: Mapping[str, Any]) -> list[str]:
    aim = row["reference"] or {}
    accuracy = ""
    if row["accuracy_before"] is not None:
        accuracy = f"{percent(row['accuracy_before'])} -> {percent(row['accuracy_after'])}"
    return [
        f"{size(row['bytes_before'])} -> {size(row['bytes_after'])}",
        f"{milliseconds(row['ms_before'])[:-3]} -> {milliseconds(row['ms_after'])[:-3]}",
        f"{count(row['macs_before'])} -> {count(row['macs_after'])}",
        f"{row['size_ratio']:.1f}",
        _aim(row["size_ratio"], aim.get("size")),
        f"{row['time_ratio']:.1f}",
        _aim(row["time_ratio"], aim.get("time")),
        f"{row['realised']:.2f}",
        accuracy,
    ]


def _aim(ratio: float, aim: float | None) -> str:
    if aim is None:
        return ""
    return f"{aim:.1f} {'met' if round(ratio, 1) >= aim else 'missed'}"


def _notes(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a line for each network: its arithmetic, the plans tried, and the layers to blame."""
    notes = []
    for row in rows:
        tried = ", ".join(
            f"{plan['plan']} (size / {plan['bytes_before'] / plan['bytes_after']:.2f}, time /"
            f" {plan['ms_before'] / plan['ms_after']:.2f})"
            for plan in row["tries"]
        )
        text = f"{row['model']}: {row['form']}; plans tried: {tried}"
        if row["realised"] < BLAMED:
            worst = ", ".join(
                f"{blame['layer']} (x{blame['speedup']:.1f} of x{blame['macs_ratio']:.1f},"
                f" {blame['lost_ms']:.2f} ms)"
                for blame in row["blame"][:WORST]
            )
            text += f"; slower than its MACs because of {worst}"
        notes.append(text)
    return notes
