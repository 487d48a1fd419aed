"""What every benchmark prints and, with --write, stores in benchmarks/results."""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch

from autoprune.foundation.charts import Curve, draw_curves
from autoprune.foundation.statistics import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RESULTS = Path(__file__).parents[1] / "results"

Row = Mapping[str, Any]


def parser(description: str) -> argparse.ArgumentParser:
    """Return a parser with the options that all benchmarks have."""
    result = argparse.ArgumentParser(description=description)
    result.add_argument("--threads", type=int, default=1, help="threads of torch (default: 1)")
    result.add_argument("--write", action="store_true", help="store it in benchmarks/results")
    return result


AUTO: Final = "auto"
"""The precision that the library chooses, search and training alike."""


def machine(precision: str = AUTO) -> dict[str, Any]:
    """Say what the figures were measured on; ``load``: processes that ran at the end."""
    return {
        "cpu": _cpu(),
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 1),
        "precision": precision if precision != AUTO else _chosen(),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]} ({len(names)} cores)" if names else platform.machine()


def _chosen() -> str:
    able = torch.cpu.get_capabilities()
    if any(able.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16")):
        return "bfloat16 where it pays, else float32"
    return "float32 (no bfloat16 here)"


def percent(value: Estimate) -> str:
    """Write a mean with its interval, in percent."""
    return f"{100 * value.mean:.2f} +- {100 * value.margin:.2f}"


def report(
    name: str,
    title: str,
    rows: Sequence[Row],
    notes: Sequence[str],
    write: bool,
    precision: str = AUTO,
) -> None:
    """Print a table; with ``write``, store it as Markdown and JSON under ``name``.

    ``precision``: what was computed in, where the script says so.
    """
    facts = machine(precision)
    text = "\n".join([f"# {title}", "", *_table(rows), "", *notes, "", _machine(facts)])
    print(text)
    if write:
        RESULTS.mkdir(exist_ok=True)
        data = {"title": title, "machine": facts, "rows": list(rows), "notes": list(notes)}
        (RESULTS / f"{name}.json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
        (RESULTS / f"{name}.md").write_text(text + "\n", encoding="utf-8")


def stored(name: str) -> tuple[list[Row], list[str]]:
    """Return the rows and notes that ``report`` stored under ``name``, to draw them anew."""
    data = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return data["rows"], data["notes"]


def numbers(text: str) -> list[float]:
    """Read the numbers of a cell or a note: a mean, and what stands beside it."""
    return [float(found) for found in re.findall(r"\d+(?:\.\d+)?", text)]


def with_bars(shares: Sequence[float], cells: Sequence[str]) -> Curve:
    """Return a curve of cells such as ``96.35 ± 0.65``; a mean alone has no bar."""
    read = [numbers(cell) for cell in cells]
    means = [mean for mean, *_ in read]
    if any(len(each) < 2 for each in read):
        return Curve(shares, means)
    low, high = zip(*((mean - half, mean + half) for mean, half, *_ in read), strict=True)
    return Curve(shares, means, low, high)


def draw_shares(axes: Axes, curves: Mapping[str, Curve], colors: Mapping[str, int]) -> None:
    """Draw curves against the percent that is left, from all of it on the left."""
    draw_curves(axes, curves, markers=True, log=True, colors=colors)
    axes.invert_xaxis()
    shares = next(iter(curves.values())).x
    shown = shares[:: max(1, len(shares) // 6)]
    axes.set_xticks(shown, [f"{share:.3g}" for share in shown])
    axes.minorticks_off()


def _machine(facts: Mapping[str, Any]) -> str:
    return (
        f"Machine: {facts['cpu']}, {facts['threads']} thread(s), load {facts['load']}, torch "
        f"{facts['torch']}; {facts['precision']}"
    )


def _table(rows: Sequence[Row]) -> list[str]:
    columns = list(rows[0])
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    return lines + ["| " + " | ".join(str(row[name]) for name in columns) + " |" for row in rows]
