"""What the benchmarks of lottery tickets share: running the command, and showing its figures."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from support.reporting import parser

from autoprune.commands.ticket.config import TicketConfig
from autoprune.commands.ticket.run import run_ticket
from autoprune.foundation.terminal import Terminal


def options(description: str, **defaults: int) -> argparse.ArgumentParser:
    """Return a parser with a number for each of ``defaults``, and a place for the runs."""
    result = parser(description)
    for name, value in defaults.items():
        result.add_argument(f"--{name.replace('_', '-')}", type=int, default=value)
    result.add_argument("--runs", help="keep runs here and continue them (default: temporary)")
    result.add_argument("--spent", type=int, default=0, help="seconds that earlier calls took")
    return result


def ticket(chosen: argparse.Namespace, name: str, **settings: Any) -> dict[str, Any]:
    """Run ``autoprune ticket``; the result, with the ``seconds`` that it took."""
    torch.set_num_threads(chosen.threads)
    home = Path(chosen.runs or tempfile.mkdtemp()) / name
    began = time.monotonic()
    config = TicketConfig(run_dir=str(home), workers=1, **settings)
    result = run_ticket(config, Terminal(Console(stderr=True)))
    return {**result, "seconds": chosen.spent + time.monotonic() - began}


def rows(
    result: Mapping[str, Any], kinds: Sequence[str], marks: Sequence[str] = (), stop: bool = False
) -> list[dict[str, str]]:
    """Show every level: test accuracy by kind at the end and at ``marks``, early stops."""
    shown = []
    for level in result["levels"]:
        means = level["means"]
        cells = {"left": f"{level['remaining']:.1%}"}
        if "name" in level:
            cells = {result.get("by", "ticket"): level["name"], **cells}
        cells |= {kind: percent(means[kind]["accuracy"]) for kind in kinds}
        for mark in marks:
            name = f"accuracy_at_{mark}"
            cells |= {f"{kind}, {mark} it": percent(means[kind][name]) for kind in kinds}
        if stop:
            cells |= {
                f"{kind}, early stop": f"{means[kind]['early_stop']['mean']:.0f}" for kind in kinds
            }
        shown.append(cells)
    return shown


def starts(result: Mapping[str, Any], marks: Sequence[str] = ()) -> list[dict[str, str]]:
    """Show every kind of training of one ticket, and the paired difference to it."""
    (level,) = result["levels"]
    shown = []
    for kind, means in level["means"].items():
        cells = {"trained": kind.replace("_", " "), "accuracy": percent(means["accuracy"])}
        gap = level["ticket_minus"].get(kind)
        cells["ticket minus it"] = percent(gap["accuracy"]) if gap else ""
        for mark in marks:
            name = f"accuracy_at_{mark}"
            cells[f"after {mark} it"] = percent(means[name]) if name in means else ""
            cells[f"ticket minus it, {mark} it"] = percent(gap[name]) if gap else ""
        shown.append(cells)
    return shown


def percent(value: Mapping[str, float | None]) -> str:
    """Write a mean and its margin in percent."""
    mean, margin = value["mean"] or 0.0, value["margin"]
    return f"{100 * mean:.2f}" + ("" if margin is None else f" ± {100 * margin:.2f}")


def setup(result: Mapping[str, Any], seeds: int, how: str) -> str:
    """Say in one line how the figures came about."""
    return (
        f"{how}; {result['iterations']} iterations per training, rewound to {result['rewind']};"
        f" {seeds} seeds; {result['seconds']:.0f} s. Test accuracy in percent, mean ± half of the"
        " 95 % interval; differences are paired."
    )
