"""`autoprune train` on real data: every network that other benchmarks begin with.

python benchmarks/training.py --mnist DIR --cifar DIR --runs DIR [--only NAME ...] [--write]

A run that is finished is shown, one that was killed goes on: with the same --runs the command can
be given again and again. The sizes are what a shared core does in minutes, not what networks can
do.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from support.reporting import parser, report

from autoprune.commands.train.config import TrainConfig
from autoprune.commands.train.result import Trained
from autoprune.commands.train.run import run_train
from autoprune.foundation.tables import count
from autoprune.foundation.terminal import Terminal, duration

TRAININGS: dict[str, dict[str, Any]] = {
    "lenet-300-100": {"data": "mnist", "epochs": 10},
    "conv-2": {"data": "mnist", "epochs": 2},
    "ocrnet": {"data": "ocr-lines", "task": "ctc", "epochs": 3},
    "mobilenetv1": {"data": "cifar", "epochs": 2, "batch_size": 64, "precision": "float32"},
    "vgg19": {"data": "cifar", "epochs": 1, "batch_size": 64, "learning_rate": 0.05},
    "simplenet": {"data": "cifar", "epochs": 1, "batch_size": 64},
    "densenet40": {"data": "cifar", "epochs": 1, "batch_size": 64},
}


def main() -> None:
    """Train or show every network and report."""
    options = parser(__doc__ or "")
    options.add_argument("--mnist", required=True, help="directory of MNIST")
    options.add_argument("--cifar", required=True, help="directory of CIFAR-10-JPEG")
    options.add_argument("--runs", required=True, help="directory that holds the runs")
    options.add_argument("--only", nargs="+", choices=TRAININGS, default=list(TRAININGS))
    options.add_argument("--seed", type=int, default=0)
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    places = {"mnist": chosen.mnist, "cifar": chosen.cifar}
    rows = []
    for name in chosen.only:
        settings = dict(TRAININGS[name])
        data = settings.pop("data")
        config = TrainConfig(
            model=name,
            data=places.get(data, data),
            seed=chosen.seed,
            run=str(Path(chosen.runs) / name),
            **settings,
        )
        rows.append(row(run_train(config, Terminal(Console(stderr=True)))))
    report(
        "training",
        "Networks trained by `autoprune train`",
        rows,
        [
            f"Seed {chosen.seed}. Options beyond the defaults are those in benchmarks/training.py. "
            "The test split is read once, at the end; validation rows come out of the training "
            "data. CIFAR-10-JPEG is CIFAR-10 re-encoded as JPEG at quality 75. The time is that "
            "of training on one thread of a machine that others used as well; MACs of one sample.",
        ],
        chosen.write,
    )


def row(result: Trained) -> dict[str, str]:
    """Show one training."""
    other = ", ".join(f"{name} {value:.2%}" for name, value in result.other.items())
    return {
        "network": result.network,
        "data": Path(result.data).name,
        "epochs": f"{result.epochs} ({result.steps:,} steps)",
        "test": f"{result.accuracy:.2%} {result.metric}" + (f", {other}" if other else ""),
        "validation": f"{result.validation:.2%}",
        "MACs": count(result.macs),
        "parameters": f"{result.parameters:,}",
        "time": duration(result.seconds),
    }


if __name__ == "__main__":
    main()
