"""Processor seconds of `analyze`, proof included, and of `verify` alone, for large networks.

python benchmarks/verification.py [--write]

Networks of full size with random weights, on two images of 224 pixels. Processor time does not
count what other programs do.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

import torch
from support.reporting import parser, report

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from autoprune.networks import zoo
from autoprune.networks.libraries import build_from_library
from autoprune.structure.analyze import analyze, verify
from tests.real import stubs

SIZE = 224
ROUNDS = 2

T = TypeVar("T")


class Study(NamedTuple):
    """A network of a library, and the seconds that its analysis may take; none if nobody said."""

    library: str
    name: str
    aim: float | None = None


STUDIES = (
    Study("torchvision", "resnet50", 5.0),
    Study("timm", "res2net50_26w_4s", 30.0),
    Study("timm", "mobilenetv2_100"),
    Study("timm", "convnext_tiny"),
    Study("timm", "vit_small_patch16_224"),
)


def main() -> None:
    """Measure and report."""
    options = parser(__doc__ or "").parse_args()
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore")
    stubs.declare()
    analyze(zoo.build("resnet20"), torch.randn(2, 3, 32, 32))  # the first export pays for imports
    rows = []
    for study in STUDIES:
        torch.manual_seed(0)
        model = build_from_library(study.library, study.name, {}).eval()
        images = torch.randn(2, 3, SIZE, SIZE)
        analysis, structure = least(lambda: analyze(model, images))
        proof, _ = least(lambda: verify(model, structure, images))
        rows.append(
            {
                "network": f"{study.library}:{study.name}",
                "groups": len(structure.groups),
                "analyze [s]": round(analysis, 1),
                "verify [s]": round(proof, 1),
                "aim [s]": "" if study.aim is None else f"<= {study.aim:g}",
            }
        )
    notes = [
        f"Processor seconds of one thread, the least of {ROUNDS}; `analyze` finds the structure and"
        f" proves it, in both modes, on two images of {SIZE} pixels; `verify` is that proof alone."
    ]
    report("verification", "Time of the proof", rows, notes, options.write)


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
