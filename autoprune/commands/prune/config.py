"""Configuration of ``autoprune prune``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import tyro

from autoprune.errors import UsageError
from autoprune.foundation.options import Name
from autoprune.pipeline.config import PruningConfig

STEPS = 5
"""Rounds of an iterative schedule by default."""


@dataclass(frozen=True, kw_only=True)
class PruneConfig(PruningConfig):
    """Prune to a budget by a rule of thumb, without search, in one round or several."""

    command: ClassVar[str] = "prune"
    least: ClassVar[Mapping[str, int]] = {**PruningConfig.least, "steps": 1}

    schedule: Literal["one-shot", "iterative"] = "one-shot"
    """Prune once and fine-tune, or prune a little, fine-tune, and again until on the budget."""
    steps: Annotated[
        int | None, tyro.conf.arg(metavar="N", help_behavior_hint=f"(default: {STEPS})")
    ] = None
    """Rounds of the iterative schedule."""
    heuristic: Name = "uniform"
    """How the budget is spread: uniform, deeper-more, shallower-more, larger-more; global."""

    def __post_init__(self) -> None:
        if self.schedule == "one-shot" and self.steps not in (None, 1):
            raise UsageError(
                f"--steps {self.steps} is not one shot", "add --schedule iterative, or leave it out"
            )
        rounds = 1 if self.schedule == "one-shot" else STEPS if self.steps is None else self.steps
        object.__setattr__(self, "steps", rounds)
        super().__post_init__()
