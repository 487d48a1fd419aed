"""Feature matching without labels: a searched network as repaired and after matching.

python benchmarks/matching.py --model resnet20 --weights FILE --data DIR [--write]

A run that was begun with the same options (`--run`) goes on.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from support.reporting import parser, percent, report

from autoprune.foundation.statistics import difference, estimate
from autoprune.foundation.terminal import Terminal
from autoprune.pipeline.config import SearchConfig
from autoprune.pipeline.result import Result
from autoprune.pipeline.search import run_search

AIMS = {"resnet20": (2.0, 1.0), "resnet56": (1.0, 0.5)}
"""Most points of test accuracy to lose at half the FLOPs, as repaired and after matching."""


def main() -> None:
    """Search once for every seed and report."""
    options = parser(__doc__ or "")
    options.add_argument("--model", required=True)
    options.add_argument("--weights", required=True)
    options.add_argument("--data", required=True)
    options.add_argument("--budget", default="0.5flops")
    options.add_argument("--agent", default="dp")
    options.add_argument("--evaluations", type=int, default=40)
    options.add_argument("--match", default="600steps")
    options.add_argument("--seeds", type=int, default=5)
    options.add_argument("--run", required=True)
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    results = [search(chosen, seed) for seed in range(chosen.seeds)]
    data = Path(chosen.data).name
    report(
        f"matching_{chosen.model}_{data}_{chosen.budget}",
        f"Feature matching: {chosen.model}, {data}, budget {chosen.budget}",
        rows(results),
        notes(chosen, results),
        chosen.write,
    )


def search(chosen: argparse.Namespace, seed: int) -> Result:
    """Search, repair and match."""
    config = SearchConfig(
        budget=chosen.budget,
        model=chosen.model,
        weights=chosen.weights,
        data=chosen.data,
        agent=chosen.agent,
        evaluations=chosen.evaluations,
        match=chosen.match,
        finetune_epochs=0,
        baseline=False,
        seed=seed,
        run=f"{chosen.run}-{seed}",
    )
    return run_search(config, Terminal(Console(stderr=True)))


def scores(results: list[Result]) -> dict[str, list[float]]:
    """Return the test scores by state of the network."""
    return {
        "as repaired, closed form": [one.pruned.score for one in results],
        "after matching": [one.matched.score for one in results if one.matched],
    }


def rows(results: list[Result]) -> list[dict[str, Any]]:
    """Show means and 95 % intervals over seeds."""
    dense = results[0].dense.score
    return [
        {
            "network": name,
            "test": percent(estimate(found)),
            "change": f"{100 * (estimate(found).mean - dense):+.2f}",
        }
        for name, found in scores(results).items()
    ]


def notes(chosen: argparse.Namespace, results: list[Result]) -> list[str]:
    """Say what was measured, what matching adds, and whether the aims are met."""
    before, after = scores(results).values()
    lines = [
        f"{chosen.agent}, {chosen.evaluations} evaluations, {chosen.seeds} seeds, each its own"
        " calibration samples and search split; mean +- 95 % interval (t). Dense network:"
        f" {results[0].dense.score:.2%} on the test split, which was read once per seed. Matching:"
        f" {chosen.match} of 128 training images, no labels.",
        f"Matching adds {percent(difference(after, before))} points, paired by seed.",
    ]
    if chosen.model in AIMS and chosen.budget == "0.5flops":
        for name, aim, found in zip(
            ("repair", "matching"), AIMS[chosen.model], (before, after), strict=True
        ):
            lost = 100 * (results[0].dense.score - estimate(found).mean)
            lines.append(
                f"Aim after {name}: at most {aim} points lost; {lost:.2f},"
                f" {'met' if lost <= aim else 'missed'}."
            )
    return lines


if __name__ == "__main__":
    main()
