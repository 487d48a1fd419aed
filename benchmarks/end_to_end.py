"""Networks of other libraries from training to pruned weights: `autoprune train`, then `search`.

python benchmarks/end_to_end.py vit --data CIFAR_DIR --runs DIR [--write]
python benchmarks/end_to_end.py unet --data FASHION_MNIST_DIR --runs DIR [--write]

``vit``: a vision transformer of timm on CIFAR-10-JPEG. ``unet``: a U-Net of
segmentation-models-pytorch on canvases of garments, each pixel a class. A run that is finished is
shown, one that was killed goes on. Dense and pruned network are timed here, by turns, each time.
"""

from __future__ import annotations

import copy
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from search import rows
from support.canvases import SOURCE
from support.reporting import parser, report

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from autoprune.commands.train.config import TrainConfig
from autoprune.commands.train.run import run_train
from autoprune.foundation.terminal import Terminal
from autoprune.networks.save import load
from autoprune.pipeline.config import SearchConfig
from autoprune.pipeline.inputs import from_config
from autoprune.pipeline.search import run_search
from autoprune.pipeline.speeds import compared
from tests.real import stubs

BATCHES = (1, 64)
"""Samples at a time, by which the networks are timed."""

CANVASES = Path(__file__).parent / "support" / "canvases.py"


@dataclass(frozen=True)
class Study:
    """A network on a data set: names as the command line takes them, and the training."""

    title: str
    model: str
    data: str | None
    task: str
    training: dict[str, Any]
    finetune_epochs: int


STUDIES = {
    "vit": Study(
        "Vision transformer (timm) on CIFAR-10-JPEG",
        "timm:vit_tiny_patch16_224,img_size=32,patch_size=4,embed_dim=96,depth=4,num_heads=4",
        None,
        "classification",
        {"epochs": 4},
        2,
    ),
    "unet": Study(
        "U-Net (segmentation-models-pytorch) on canvases of Fashion-MNIST",
        f"{CANVASES}:unet",
        f"{CANVASES}:build",
        "classification,score=mean-iou",
        {"epochs": 4, "batch_size": 16},
        2,
    ),
}


def main() -> None:
    """Train, search and report one study."""
    options = parser(__doc__ or "")
    options.add_argument("study", choices=STUDIES)
    options.add_argument("--data", required=True, help="directory of the images")
    options.add_argument("--runs", required=True, help="directory that holds the runs")
    options.add_argument("--budget", default="0.5flops")
    options.add_argument("--evaluations", type=int, default=50)
    options.add_argument("--seed", type=int, default=0)
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    stubs.declare()
    os.environ[SOURCE] = chosen.data
    study, runs = STUDIES[chosen.study], Path(chosen.runs)
    data, progress = study.data or chosen.data, Terminal(Console(stderr=True))
    named: dict[str, Any] = {
        "model": study.model,
        "data": data,
        "task": study.task,
        "seed": chosen.seed,
        "threads": chosen.threads,
    }
    dense = runs / f"{chosen.study}-dense"
    trained = run_train(TrainConfig(**named, **study.training, run=str(dense)), progress)
    search = SearchConfig(
        **named,
        budget=chosen.budget,
        weights=str(dense),
        evaluations=chosen.evaluations,
        finetune_epochs=study.finetune_epochs,
        workers=1,
        run=str(runs / f"{chosen.study}-{chosen.budget}"),
    )
    result = run_search(search, progress)
    report(
        f"end_to_end_{chosen.study}",
        f"{study.title}, budget {chosen.budget}",
        [{name: row[name] for name in row if "ms" not in name.split()} for row in rows(result)],
        [
            f"{study.model.rpartition('/')[2]}; {result.metric} on the test split, which is read"
            f" once; seed {chosen.seed}. Trained here for {trained.epochs} epochs"
            f" ({trained.steps:,} steps); {result.evaluations} evaluations on the search split;"
            f" {study.finetune_epochs} epochs of fine-tuning; the search took"
            f" {result.seconds:.0f} s in all, on a machine that others used as well.",
            "",
            *by_turns(search),
        ],
        chosen.write,
    )


def by_turns(search: SearchConfig) -> list[str]:
    """Time the dense and the delivered network by turns, and say how busy the machine was."""
    inputs, before = from_config(search), os.getloadavg()[0]
    pruned = load(str(search.run), model=copy.deepcopy(inputs.model))
    batches = [inputs.sized_batch(size) for size in BATCHES]
    speeds = compared(inputs.model.eval(), pruned, inputs.task, batches)
    return [
        "The pruned network's time as a part of the dense one's, medians of turns (from, to): "
        + "; ".join(
            f"{one.backend}, batch {one.batch}: {one.fraction:.2f} ({one.low:.2f}, {one.high:.2f})"
            for one in speeds
        )
        + f". Load of the machine: {before:.1f} before, {os.getloadavg()[0]:.1f} after;"
        f" it has {os.cpu_count()} cores."
    ]


if __name__ == "__main__":
    main()
