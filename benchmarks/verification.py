"""Processor seconds of `analyze`, proof included, and of `verify` alone, for large networks.

python benchmarks/verification.py [--write]

Networks of full width and depth with random weights, on two images; a structure does not depend on
their size, so small ones do. Processor time does not count what other programs do.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from support.reporting import parser, report

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from autoprune.networks import zoo
from autoprune.networks.libraries import build_from_library
from autoprune.structure.analyze import analyze, verify
from tests.real import stubs

ROUNDS = 2

T = TypeVar("T")


class Study(NamedTuple):
    """A network of a library, pixels of the images, and the seconds that its analysis may take."""

    library: str
    name: str
    pixels: int = 64
    aim: float | None = None


STUDIES = (
    Study("torchvision", "resnet50", aim=5.0),
    Study("torchvision", "resnet50", 224),
    Study("timm", "res2net50_26w_4s", aim=30.0),
    Study("timm", "mobilenetv2_100"),
    Study("timm", "convnext_tiny"),
    Study("timm", "vit_small_patch16_224", 224),
)


def main() -> None:
    """Measure and report."""
    options = parser(__doc__ or "").parse_args()
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore")
    stubs.declare()
    analyze(zoo.build("resnet20"), torch.randn(2, 3, 32, 32))  # the first export pays for imports
    rows = [measured(study) for study in STUDIES]
    notes = [
        f"Processor seconds of one thread, the least of {ROUNDS}; `analyze` finds the structure and"
        " proves it, in both modes; `verify` is that proof alone."
    ]
    report("verification", "Time of the proof", rows, notes, options.write)


def measured(study: Study) -> dict[str, Any]:
    """Return the row of a network."""
    torch.manual_seed(0)
    model = build_from_library(study.library, study.name, {}).eval()
    images = torch.randn(2, 3, study.pixels, study.pixels)
    analysis, structure = least(lambda: analyze(model, images))
    proof, _ = least(lambda: verify(model, structure, images))
    return {
        "network": f"{study.library}:{study.name}",
        "pixels": study.pixels,
        "groups": len(structure.groups),
        "analyze [s]": round(analysis, 1),
        "verify [s]": round(proof, 1),
        "aim [s]": "" if study.aim is None else f"<= {study.aim:g}",
    }


def least(work: Callable[[], T]) -> tuple[float, T]:
    """Return the least processor seconds of some calls, and what they return."""
    best, found = float("inf"), None
    for _ in range(ROUNDS):
        start = time.process_time()
        found = work()
        best = min(best, time.process_time() - start)
    assert found is not None
    return best, found


if __name__ == "__main__":
    main()
