"""Times of the networks that may be delivered, kept in a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from autoprune.cost.latency.clock import Spread
from autoprune.foundation.schema import decode_fields
from autoprune.runs.run import Run
from autoprune.structure.plan import Plan

TIMES: Final = "timings.json"
"""File of a run that holds the measured times."""


@dataclass(frozen=True)
class Timing:
    """A network timed beside the dense one, in turns: milliseconds per sample, part of dense."""

    plan: Plan
    dense_ms: float
    ms: Spread
    fraction: Spread


def recorded(run: Run) -> dict[Plan, Timing]:
    """Return the times that a run holds, by plan."""
    stored: Any = run.artifacts.json(TIMES) if run.artifacts.intact(TIMES) else []
    read = [Timing(**decode_fields(Timing, entry, TIMES)) for entry in stored]
    return {timing.plan: timing for timing in read}
