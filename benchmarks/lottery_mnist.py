"""Lottery tickets of LeNet-300-100 in the paper's set-up, with fewer iterations.

python benchmarks/lottery_mnist.py --data DIR [--levels 13] [--iterations 5000] [--seeds 5]
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from reporting import parser, report
from rich.console import Console

from autoprune.lottery.command import run_ticket
from autoprune.lottery.config import TicketConfig
from autoprune.progress import Terminal

KINDS = ("ticket", "dense", "reinit", "shuffled")


def main() -> None:
    """Train every level and report accuracies in percent, means over seeds."""
    options = parser(__doc__ or "")
    options.add_argument("--data", required=True, help="directory with MNIST, or digits")
    options.add_argument("--levels", type=int, default=13)
    options.add_argument("--iterations", type=int, default=5000)
    options.add_argument("--seeds", type=int, default=5)
    options.add_argument("--run-dir", help="continue there (default: a temporary directory)")
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    config = TicketConfig(
        model="lenet-300-100",
        data=chosen.data,
        levels=chosen.levels,
        iterations=chosen.iterations,
        seeds=chosen.seeds,
        run_dir=chosen.run_dir or str(Path(tempfile.mkdtemp()) / "run"),
    )
    began = time.monotonic()
    result = run_ticket(config, Terminal(Console(stderr=True)))
    name = Path(chosen.data).name
    report(
        f"lottery_{name}",
        f"Lottery tickets of lenet-300-100 on {name}",
        [row(level) for level in result["levels"]],
        [
            f"Adam 1.2e-3, batch 60, Glorot, {chosen.iterations} iterations per training (the paper"
            f" has 50,000), 20 % per level, output layer 10 %, rewound to 0; {chosen.seeds} seeds;"
            f" {time.monotonic() - began:.0f} s. Test accuracy, mean ± half of the 95 % interval.",
            *result["verdict"],
        ],
        chosen.write,
    )


def row(level: Mapping[str, Any]) -> dict[str, str]:
    """Show one level."""
    means = level["means"]
    cells = {"left": f"{level['remaining']:.1%}"}
    for kind in KINDS:
        cells[kind] = percent(means[kind]["accuracy"])
    if "accuracy_at_300" in means["ticket"]:
        for kind in KINDS:
            cells[f"{kind}, 300 it"] = percent(means[kind]["accuracy_at_300"])
    for kind in KINDS[:3]:
        cells[f"{kind}, early stop"] = f"{means[kind]['early_stop']['mean']:.0f}"
    return cells


def percent(value: Mapping[str, float | None]) -> str:
    """Write a mean and its margin in percent."""
    mean, margin = value["mean"] or 0.0, value["margin"]
    return f"{100 * mean:.2f}" + ("" if margin is None else f" ± {100 * margin:.2f}")


if __name__ == "__main__":
    main()
