"""Searchers side by side on a trained network and real data: `autoprune compare`, and the aims.

python benchmarks/compare.py --model resnet20 --weights resnet20.safetensors --data DIR [--write]

A run that was begun with the same options (`--run`) goes on; a finished one is only reported.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from support.reporting import parser, percent, report

from autoprune.commands.compare.config import CompareConfig
from autoprune.commands.compare.result import Comparison
from autoprune.commands.compare.run import run_compare
from autoprune.foundation.statistics import difference
from autoprune.foundation.terminal import Terminal

AIMS = {"resnet20": 4.0, "resnet56": 2.0}
"""Most points of test accuracy to lose before fine-tuning at half the FLOPs."""


def main() -> None:
    """Compare, or read what was compared, and report."""
    options = parser(__doc__ or "")
    options.add_argument("--model", required=True)
    options.add_argument("--weights", required=True)
    options.add_argument("--data", required=True)
    options.add_argument("--budget", default="0.5flops")
    options.add_argument("--agents", nargs="+", default=list(CompareConfig.agents))
    options.add_argument("--evaluations", type=int, default=100)
    options.add_argument("--seeds", type=int, default=5)
    options.add_argument("--finetune-epochs", type=int, default=0)
    options.add_argument("--workers", type=int, default=0)
    options.add_argument("--run", default=None)
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    config = CompareConfig(
        budget=chosen.budget,
        model=chosen.model,
        weights=chosen.weights,
        data=chosen.data,
        agents=tuple(chosen.agents),
        evaluations=chosen.evaluations,
        seeds=chosen.seeds,
        finetune_epochs=chosen.finetune_epochs,
        workers=chosen.workers,
        run=chosen.run,
    )
    found = run_compare(config, Terminal(Console(stderr=True)))
    data = Path(chosen.data).name
    tuned = f"_{chosen.finetune_epochs}_epochs" if chosen.finetune_epochs else ""
    report(
        f"compare_{chosen.model}_{data}{tuned}",
        f"Searchers on {chosen.model}, {data}, budget {chosen.budget}",
        [row(found, agent) for agent in chosen.agents],
        notes(found, chosen.model, chosen.seeds),
        chosen.write,
    )


def row(found: Comparison, agent: str) -> dict[str, Any]:
    """Show one agent: means and 95 % intervals over seeds, drops in points."""
    budget = found.budget
    pruned = found.estimate(budget, agent, "test_accuracy")
    shown = {
        "agent": agent,
        "search split": percent(found.estimate(budget, agent, "search_score")),
        "test, pruned": percent(pruned),
        "change": f"{100 * (pruned.mean - found.base):+.2f}",
    }
    if found.finetune_epochs:
        tuned = found.estimate(budget, agent, "recovered_accuracy")
        shown["test, fine-tuned"] = percent(tuned)
        shown["change after"] = f"{100 * (tuned.mean - found.base):+.2f}"
    shown["seconds"] = f"{found.estimate(budget, agent, 'seconds').mean:.0f}"
    return shown


def notes(found: Comparison, model: str, seeds: int) -> list[str]:
    """Say what was measured, the paired differences to the agent, and the aims."""
    lines = [
        f"{found.evaluations} evaluations each; {seeds} seeds, each its own calibration samples and"
        f" search split; mean +- 95 % interval (t). Dense network: {found.base:.2%} on the test"
        " split, which was read once. All networks are built alike (least squares, layer after"
        f" layer); {found.finetune_epochs} epochs of fine-tuning. Wall time on a machine shared"
        " with other work.",
    ]
    agents = found.trials[found.budget]
    if "ddpg" in agents:
        mine = found.values(found.budget, "ddpg", "test_accuracy")
        lines += [
            f"ddpg - {other}, paired by seed, test before fine-tuning: {percent(gap)} points"
            f" ({'the interval is above 0' if gap.positive else 'the interval includes 0'})."
            if not gap.negative
            else f"ddpg - {other}: {percent(gap)} points: ddpg is worse."
            for other in agents
            if other != "ddpg"
            for gap in [difference(mine, found.values(found.budget, other, "test_accuracy"))]
        ]
        if model in AIMS:
            drop = 100 * (found.base - sum(mine) / len(mine))
            met = "met" if drop <= AIMS[model] else "missed"
            lines.append(f"Aim: ddpg loses at most {AIMS[model]} points: {drop:.2f}, {met}.")
    return lines


if __name__ == "__main__":
    main()
