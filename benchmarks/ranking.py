"""Processor time and memory of ranking a ResNet-50 by regression on 1,000 images of 224 pixels.

The default ranking of a search, sensitivities included, on uint8 images held in memory. Weights are
fresh, batch norms have seen a batch, images are smooth noise: time and memory do not depend on
them. Each row is a process of its own, so that its peak is its own; seconds are of the processor,
by what was computed.

python benchmarks/ranking.py [--images 1000] [--write]
"""

from __future__ import annotations

import cProfile
import json
import pstats
import resource
import subprocess
import sys
import time
from typing import Any

import torch
from support.reporting import parser, report
from torch import nn
from torch.nn.functional import interpolate

from autoprune.data import Split
from autoprune.data.classification import Classification
from autoprune.data.split import ImageForm
from autoprune.networks import zoo
from autoprune.ranking.rank import rank
from autoprune.structure.analyze import analyze

PARTS = {
    "passes and patches": ("gram.py", "collect"),
    "of it Gram sums": ("gram.py", "add"),
    "elimination": ("regression.py", "eliminated"),
    "repairs": ("regression.py", "_repairs"),
    "sensitivities": ("sensitivity.py", "sensitivities"),
}
"""Column -> file and function whose time it is, callees included."""

SECONDS, MEMORY = 110, 2560


def main() -> None:
    """Measure every size of images in a process of its own, or one here."""
    options = parser(__doc__ or "")
    options.add_argument("--model", default="resnet50")
    options.add_argument("--images", type=int, default=1000)
    options.add_argument("--pixels", type=int, nargs="+", default=[224])
    options.add_argument("--one", type=int, help="measure one size of images, print JSON")
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    if chosen.one:
        print(json.dumps(measured(chosen.model, chosen.images, chosen.one)))
        return
    rows = []
    for pixels in chosen.pixels:
        command = [sys.executable, __file__, "--one", str(pixels), "--threads", str(chosen.threads)]
        command += ["--model", chosen.model, "--images", str(chosen.images)]
        answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        rows.append(json.loads(answer.stdout))
    notes = [
        f"Aim for a ResNet-50 on 1,000 images of 224 pixels: {SECONDS} seconds of a processor core",
        f"and {MEMORY:,} MiB. `peak` is that of the whole process: imports, network and images",
        "(uint8) included.",
    ]
    report("ranking", "Ranking by regression, seconds of a core", rows, notes, chosen.write)


def measured(name: str, count: int, pixels: int) -> dict[str, Any]:
    """Rank one network; return what it took."""
    torch.manual_seed(0)
    model, data = zoo.build(name, classes=1000), images(count, pixels)
    structure = analyze(model.eval(), next(data.batches(2))[0])
    settle(model, next(data.batches(8))[0])
    profile, began = cProfile.Profile(time.process_time), time.process_time()
    profile.runcall(
        rank, model, structure, "regression", task=Classification(), calibration=data, seed=0
    )
    seconds = time.process_time() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    spent = parts(pstats.Stats(profile))
    return {
        "network": name,
        "images": f"{count:,} of 3x{pixels}x{pixels}",
        "groups": len(structure.groups),
        **{column: f"{value:.1f} s" for column, value in spent.items()},
        "all": f"{seconds:.1f} s",
        "peak": f"{peak:,.0f} MiB",
    }


def parts(stats: pstats.Stats) -> dict[str, float]:
    """Return the seconds of each part."""
    table = stats.stats.items()  # type: ignore[attr-defined]
    return {
        column: sum(
            spent[3] for (path, _, name), spent in table if name == call and path.endswith(file)
        )
        for column, (file, call) in PARTS.items()
    }


def images(count: int, pixels: int) -> Split:
    """Return smooth noise, uint8, and labels."""
    made = torch.empty(count, 3, pixels, pixels, dtype=torch.uint8)
    for image in made:
        coarse = torch.rand(1, 3, pixels // 16, pixels // 16)
        image.copy_(interpolate(coarse, (pixels, pixels), mode="bilinear")[0] * 255)
    form = ImageForm((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    return Split((made, torch.arange(count) % 1000), form)


@torch.no_grad()
def settle(model: nn.Module, batch: torch.Tensor) -> None:
    """Let the batch norms see a batch, so that activations neither vanish nor grow."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    model.train()(batch)
    model.eval()


if __name__ == "__main__":
    main()
