"""Configuration of ``autoprune apply``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

import tyro

from autoprune.pipeline.config import SearchConfig


@dataclass(frozen=True, kw_only=True)
class ApplyConfig(SearchConfig):
    """Prune a network by a policy that never saw it, with no evaluation or a few."""

    command: ClassVar[str] = "apply"
    least: ClassVar[Mapping[str, int]] = {**SearchConfig.least, "evaluations": 0}

    policy: Annotated[
        str | None, tyro.conf.arg(metavar="FILE|RUN", help_behavior_hint="(default: ours)")
    ] = None
    """A policy's file, or a run that trained one; the one that comes with autoprune if left out."""
    agent: tyro.conf.Suppress[str] = "policy"
    evaluations: int = 0
    """Plans to try, starting from the policy's; 0 takes its plan as it is."""
