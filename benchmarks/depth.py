"""Branches beside widths: searchers that may take out branches, and one that may not.

Both kinds run on equal evaluations, seeds, calibration samples and search splits; the delivered
networks are timed in turns with the dense one at the end.

python benchmarks/depth.py --model resnet56 --weights FILE --data DIR --budget 0.65latency [--write]

A run that was begun with the same options (`--run`) goes on.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from support.reporting import parser, percent, report

from autoprune.commands.compare.config import CompareConfig
from autoprune.commands.compare.result import Comparison, Trial
from autoprune.commands.compare.run import run_compare
from autoprune.cost.latency.backends import TorchBackend
from autoprune.cost.latency.model import first_units
from autoprune.cost.model import CostModel
from autoprune.data.classification import Classification
from autoprune.foundation.statistics import Estimate, difference, estimate
from autoprune.foundation.terminal import Terminal
from autoprune.networks import zoo
from autoprune.pipeline.config import Depth
from autoprune.structure.analyze import analyze
from autoprune.structure.depth import deepened
from autoprune.structure.plan import Plan
from autoprune.structure.slicing import Slicer
from autoprune.structure.table import BRANCH

PAIRED = ("dp", "evolution", "ddpg")
"""Searchers that may take out branches."""

WIDTHS = "dp"
"""The searcher that decides widths only: dynamic programming is as good there as any."""

AGENT = "ddpg"
"""The learning searcher, which the others are set against."""

BATCH, SHAPE = 64, (3, 32, 32)


def main() -> None:
    """Compare, time and report."""
    options = parser(__doc__ or "")
    options.add_argument("--model", required=True)
    options.add_argument("--weights", required=True)
    options.add_argument("--data", required=True)
    options.add_argument("--budget", default="0.65latency")
    options.add_argument("--agents", nargs="+", default=PAIRED)
    options.add_argument("--evaluations", type=int, default=60)
    options.add_argument("--seeds", type=int, default=5)
    options.add_argument("--finetune-epochs", type=int, default=0)
    options.add_argument("--run", required=True)
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    widths = compared(chosen, (WIDTHS,), "off")
    both = compared(chosen, tuple(chosen.agents), "auto")
    timer = Timer(chosen.model)
    rows = [row(widths, WIDTHS, "widths", timer)]
    rows += [row(both, agent, "widths and branches", timer) for agent in chosen.agents]
    data = Path(chosen.data).name
    tuned = f"_{chosen.finetune_epochs}_epochs" if chosen.finetune_epochs else ""
    report(
        f"depth_{chosen.model}_{data}_{chosen.budget}{tuned}",
        f"Branches beside widths: {chosen.model}, {data}, budget {chosen.budget}",
        rows,
        notes(chosen, widths, both),
        chosen.write,
    )


def compared(chosen: argparse.Namespace, agents: tuple[str, ...], depth: Depth) -> Comparison:
    """Run, or go on with, the comparison of one kind."""
    config = CompareConfig(
        budget=chosen.budget,
        model=chosen.model,
        weights=chosen.weights,
        data=chosen.data,
        agents=agents,
        evaluations=chosen.evaluations,
        seeds=chosen.seeds,
        finetune_epochs=chosen.finetune_epochs,
        depth=depth,
        threads=chosen.threads,  # as it is timed in the end
        run=f"{chosen.run}-{depth}",
    )
    return run_compare(config, Terminal(Console(stderr=True)))


class Timer:
    """Times compact networks in turns with the dense one; weights do not matter to it."""

    def __init__(self, name: str) -> None:
        self._model = zoo.build(name).eval()
        images = torch.randn(BATCH, *SHAPE)
        self._structure = deepened(analyze(self._model, images[:2]))
        self._slicer = Slicer(self._model, self._structure)
        batch = images, torch.zeros(BATCH, dtype=torch.long)
        self._backend = TorchBackend(self._model, Classification(), batch)

    def shares(self, trials: Sequence[Trial]) -> list[float]:
        """Return the times of pruned networks as parts of the dense one's."""
        cost = CostModel(self._structure)
        networks = [
            self._slicer.build(first_units(self._structure, cost.counts(self._full(trial)))).eval()
            for trial in trials
        ]
        dense, *pruned = self._backend.latencies([self._model, *networks])
        return [seconds / dense for seconds in pruned]

    def gone(self, trials: Sequence[Trial]) -> list[int]:
        """Count the branches that plans take out."""
        branches = [group.name for group in self._structure.groups if group.kind == BRANCH]
        return [sum(not self._full(trial)[name] for name in branches) for trial in trials]

    def _full(self, trial: Trial) -> Plan:
        """Return the plan with all branches of the network, those of a search over widths too."""
        sizes = self._structure.sizes
        return Plan((name, trial.plan.get(name, sizes[name])) for name in sizes)


def row(found: Comparison, agent: str, decides: str, timer: Timer) -> dict[str, Any]:
    """Show one searcher: means and 95 % intervals over seeds."""
    trials = found.trials[found.budget][agent]
    pruned = found.estimate(found.budget, agent, "test_accuracy")
    shown = {
        "agent": agent,
        "decides": decides,
        "search loss": mean([min(trial.losses) for trial in trials]),
        "test, as delivered": percent(pruned),
        "change": f"{100 * (pruned.mean - found.base):+.2f}",
    }
    if found.finetune_epochs:
        tuned = found.estimate(found.budget, agent, "recovered_accuracy")
        shown |= {
            "test, fine-tuned": percent(tuned),
            "change after": f"{100 * (tuned.mean - found.base):+.2f}",
        }
    shown["branches gone"] = " ".join(map(str, timer.gone(trials)))
    shown["measured latency"] = mean(timer.shares(trials))
    shown["seconds"] = f"{found.estimate(found.budget, agent, 'seconds').mean:.0f}"
    return shown


def mean(values: Sequence[float]) -> str:
    """Write a mean with its interval."""
    found = estimate(values)
    return f"{found.mean:.3f} +- {found.margin:.3f}"


def notes(chosen: argparse.Namespace, widths: Comparison, both: Comparison) -> list[str]:
    """Say what was measured, the paired differences, and whether the aims are met."""
    measures = {"as delivered": "test_accuracy"}
    if widths.finetune_epochs:
        measures["fine-tuned"] = "recovered_accuracy"
    lines = [
        f"{chosen.evaluations} evaluations each; {chosen.seeds} seeds, each its own calibration"
        " samples and search split; mean +- 95 % interval (t). Dense network:"
        f" {widths.base:.2%} on the test split, which was read once. Latency: eager PyTorch, batch"
        f" {BATCH}, one thread, processor time, in turns with the dense network."
    ]
    for label, measure in measures.items():
        base = widths.values(widths.budget, WIDTHS, measure)
        for agent in chosen.agents:
            gap = difference(both.values(both.budget, agent, measure), base)
            lines.append(f"{agent} with branches - {WIDTHS} without, {label}: {verdict(gap)}.")
        rivals = [agent for agent in chosen.agents if agent != AGENT]
        for rival in rivals if AGENT in chosen.agents else ():
            mine = both.values(both.budget, AGENT, measure)
            gap = difference(mine, both.values(both.budget, rival, measure))
            lines.append(f"{AGENT} - {rival}, both with branches, {label}: {verdict(gap)}.")
    return lines


def verdict(gap: Estimate) -> str:
    """Write a paired difference in points, and what its interval says."""
    if gap.positive:
        return f"{percent(gap)} points, above 0"
    return f"{percent(gap)} points, {'below 0' if gap.negative else 'the interval includes 0'}"


if __name__ == "__main__":
    main()
