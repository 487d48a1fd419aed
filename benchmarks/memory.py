"""Peak memory of ranking by regression, on wide layers and on a ResNet-50 of ImageNet's size.

Each row is a process of its own, so that its peak is its own. Beside it stands what the Gram
matrices of all consumers would take unbounded, and what they take within the default limits
(`RegressionConfig`: at most 4,608 columns and 2 GiB; wider or more consumers are split,
correlations between parts taken as 0).

python benchmarks/memory.py [--write]
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from typing import Any

import torch
from support.reporting import parser, report
from torch import nn

from autoprune.data import Split
from autoprune.data.classification import Classification
from autoprune.networks import zoo
from autoprune.ranking.consumers import find_consumers
from autoprune.ranking.gram import RegressionConfig, within_memory
from autoprune.ranking.rank import rank
from autoprune.structure.analyze import analyze

SAMPLES = 64
MIB = 1 << 20


def wide() -> nn.Module:
    """Return two 3x3 convolutions of 512 channels: a Gram matrix of 4,608 columns."""
    return nn.Sequential(
        nn.Conv2d(3, 512, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(512, 512, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(512, 10),
    )


CASES = {
    "512-channel 3x3": (wide, 16),
    "resnet20": (lambda: zoo.build("resnet20"), 32),
    "resnet50": (lambda: zoo.build("resnet50", classes=1000), 64),
}
"""Network and size of the images; ResNet-50 has ImageNet's widths on smaller images."""


def main() -> None:
    """Measure every case in a process of its own, or one here."""
    options = parser(__doc__ or "")
    options.add_argument("--case", choices=CASES, help="measure one, print JSON")
    options.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    if chosen.case:
        print(json.dumps(measured(chosen.case)))
        return
    rows = []
    for case in chosen.cases:
        command = [sys.executable, __file__, "--case", case, "--threads", str(chosen.threads)]
        answer = subprocess.run(command, check=True, capture_output=True, text=True)
        rows.append(json.loads(answer.stdout))
    notes = [
        f"{SAMPLES} calibration images; `peak` is the most memory that ranking added to the",
        "process with network and images loaded: the sums, their damped copies and inverses, and",
        "what elimination works on. ResNet-50 runs on 64x64 images: its Gram matrices are as on",
        "ImageNet, its activations smaller. Seconds on a machine shared with other work.",
    ]
    report("memory", "Memory of ranking by regression", rows, notes, chosen.write)


def measured(case: str) -> dict[str, Any]:
    """Rank one network; return what it took."""
    build, size = CASES[case]
    torch.manual_seed(0)
    model = build().eval()
    data = torch.randn(SAMPLES, 3, size, size)
    split = Split((data, torch.arange(SAMPLES) % 10))
    structure = analyze(model, data[:2])
    consumers = find_consumers(model, structure)
    before, began = peak(), time.perf_counter()
    rank(model, structure, "regression", task=Classification(), calibration=split)
    seconds, after = time.perf_counter() - began, peak()
    return {
        "network": case,
        "groups": len(structure.groups),
        "widest Gram matrix": max(len(item.columns) for item in consumers) + 1,
        "unbounded": f"{grams(consumers) / MIB:,.0f} MiB",
        "within limits": f"{grams(within_memory(consumers, RegressionConfig())) / MIB:,.0f} MiB",
        "peak": f"{after - before:,.0f} MiB",
        "seconds": f"{seconds:.1f}",
    }


def grams(consumers: list[Any]) -> int:
    """Bytes of the consumers' Gram matrices."""
    sizes = [len(item.columns) + 1 for item in consumers]
    return sum(size**2 * (8 if size <= 1201 else 4) for size in sizes)


def peak() -> float:
    """Return the most memory this process has held, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
