"""`autoprune prune` by its schedules: accuracy against the parameters that remain, with a plot.

python benchmarks/schedules.py --model lenet-300-100 --data DIR [--write]
python benchmarks/schedules.py --model lenet-300-100 --data mnist --redraw

Every network is trained once for each seed, then pruned to every point in four ways: one shot, the
same with fine-tuning, and, of as many epochs, in rounds and gradually.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev

import torch
from rich.console import Console
from support.reporting import (
    RESULTS,
    Row,
    draw_shares,
    numbers,
    parser,
    report,
    stored,
    with_bars,
)

from autoprune.commands.prune.config import PruneConfig
from autoprune.commands.prune.run import run_prune
from autoprune.commands.train.config import TrainConfig
from autoprune.commands.train.run import run_train
from autoprune.foundation.charts import canvas, draw_level, legend, save
from autoprune.foundation.progress import Progress, Silent
from autoprune.foundation.terminal import Terminal
from autoprune.pipeline.result import Result

WAYS = ("one shot", "one shot + fine-tuning", "iterative", "gradual")
SMALL_ROUNDS = 20
"""Rounds of the gradual schedule, all in the first half of as many epochs."""


def main() -> None:
    """Train, prune to every point by every schedule, report and draw."""
    options = parser(__doc__ or "")
    options.add_argument("--model", default="lenet-300-100")
    options.add_argument("--data", required=True)
    options.add_argument("--granularity", default="weight")
    options.add_argument("--ranking", default="l2")
    options.add_argument(
        "--points", type=float, nargs="+", default=[0.5, 0.2, 0.1, 0.05, 0.02, 0.01]
    )
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--epochs", type=int, default=2, help="of fine-tuning after each round")
    options.add_argument("--train-epochs", type=int, default=10)
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--runs", default=None, help="where runs are kept, to continue them")
    options.add_argument("--redraw", action="store_true", help="draw what is stored, and no more")
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    name = f"schedules_{chosen.model}_{Path(chosen.data).name}_{chosen.granularity}"
    title = f"{chosen.model} on {Path(chosen.data).name}, {chosen.granularity}: schedules"
    if chosen.redraw:
        draw(*stored(name), title, RESULTS / f"{name}.svg")
        return
    found = carried_out(chosen)
    dense = [result.dense.score for result in found["one-shot", chosen.points[0]]]
    notes = [
        f"{chosen.seeds} seeds (training, order of batches); mean and standard deviation of the "
        f"accuracy on the test split. Dense: {spread(dense)} after {chosen.train_epochs} epochs. "
        f"Uniform plans, ranking {chosen.ranking}. One shot is fine-tuned for "
        f"{chosen.epochs * chosen.rounds} epochs, iterative for {chosen.epochs} after each of "
        f"{chosen.rounds} rounds; gradual has {SMALL_ROUNDS} rounds in the first half of as many"
        f" epochs as one shot. All are taught by the dense network. Remaining: weights that "
        "are left, biases included.",
    ]
    report(name, title, [row(found, point) for point in chosen.points], notes, chosen.write)
    if chosen.write:
        draw(*stored(name), title, RESULTS / f"{name}.svg")


def carried_out(chosen: argparse.Namespace) -> dict[tuple[str, float], list[Result]]:
    """Train by every seed and prune to every point by every schedule."""
    home = Path(chosen.runs or tempfile.mkdtemp())
    progress = Terminal(Console(stderr=True))
    found: dict[tuple[str, float], list[Result]] = {}
    for seed in range(chosen.seeds):
        base = home / f"base-{seed}"
        config = TrainConfig(
            model=chosen.model,
            data=chosen.data,
            epochs=chosen.train_epochs,
            seed=seed,
            run=str(base),
        )
        run_train(config, progress)
        for point in chosen.points:
            schedules = {"one-shot": 1, "iterative": chosen.rounds, "gradual": SMALL_ROUNDS}
            for schedule, rounds in schedules.items():
                name = f"{chosen.granularity.replace(':', '-')}-{schedule}-{point:g}-{seed}"
                epochs = chosen.epochs * (1 if schedule == "iterative" else chosen.rounds)
                options_of = {"schedule": schedule, "steps": rounds, "finetune_epochs": epochs}
                result = pruned(chosen, str(base), point, seed, home / name, options_of)
                progress.note(f"{name}: {result.finetuned.score:.2%}")
                found.setdefault((schedule, point), []).append(result)
    return found


def pruned(
    chosen: object, base: str, point: float, seed: int, run: Path, options: dict[str, object]
) -> Result:
    """Prune once; a run that is there is taken as it is."""
    config = PruneConfig(
        budget=f"{point:g}params",
        model=chosen.model,
        weights=base,
        data=chosen.data,
        granularity=chosen.granularity,
        ranking=chosen.ranking,
        seed=seed,
        run=str(run),
        **options,
    )
    silent: Progress = Silent()
    return run_prune(config, silent)


def accuracies(found: dict[tuple[str, float], list[Result]], way: str, point: float) -> list[float]:
    """Test accuracies by seed."""
    results = found[way if way in ("iterative", "gradual") else "one-shot", point]
    return [(r.pruned if way == "one shot" else r.finetuned).score for r in results]


def spread(values: Sequence[float]) -> str:
    """Write a mean and its standard deviation over seeds."""
    more = f" +- {100 * stdev(values):.2f}" if len(values) > 1 else ""
    return f"{100 * fmean(values):.2f}{more} %"


def row(found: dict[tuple[str, float], list[Result]], point: float) -> dict[str, str]:
    """Show one point."""
    result = found["one-shot", point][0]
    left = result.finetuned.parameters
    return {
        "remaining": f"{left / result.dense.parameters:.2%}",
        "parameters": f"{left:,}",
        "MACs": f"{result.finetuned.macs:,}",
        **{way: spread(accuracies(found, way, point)) for way in WAYS},
    }


def draw(rows: Sequence[Row], notes: Sequence[str], title: str, path: Path) -> None:
    """Draw the table: accuracy against what remains, the deviation over seeds as error bars."""
    figure, (axes,) = canvas()
    shares = [numbers(row["remaining"])[0] for row in rows]
    ways = [way for way in WAYS if way in rows[0]]
    curves = {way: with_bars(shares, [row[way] for row in rows]) for way in ways}
    draw_shares(axes, curves, {way: at for at, way in enumerate(WAYS)})
    draw_level(axes, "dense", numbers(notes[0].partition("Dense: ")[2])[0])
    legend(axes)
    seeds = notes[0].partition(" seeds")[0]
    axes.set(
        title=f"{title}\nmean and standard deviation of {seeds} seeds",
        xlabel="parameters left [%]",
        ylabel="test accuracy [%]",
    )
    save(figure, path)


if __name__ == "__main__":
    main()
