"""Result of ``autoprune match``, as in ``result.json``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from torch import nn

from autoprune.foundation.schema import OUTSIDE, Stored


@dataclass(frozen=True)
class Matched(Stored):
    """Scores of a network before and after matching, and of the dense one, on the test split.

    Scores are in [0, 1]; the split is read once. ``source``: the run of the network. ``samples``:
    those that were matched on, held-out ones included. ``seconds``: of matching, without
    interruptions. ``model``: the network itself, not part of the JSON.
    """

    source: Path
    network: str
    data: str
    task: str
    metric: str
    dense: float
    before: float
    matched: float
    samples: int
    steps: int
    seconds: float
    seed: int
    run: Path
    files: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    model: nn.Module | None = field(default=None, compare=False, repr=False, metadata=OUTSIDE)
