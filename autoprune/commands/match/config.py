"""Configuration of ``autoprune match``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar

import tyro

from autoprune.errors import UsageError
from autoprune.foundation.config import Config, check_numbers, named_directory
from autoprune.foundation.options import (
    Debug,
    Device,
    Fresh,
    FromRun,
    Given,
    Json,
    Resize,
    RunDirectory,
    Threads,
    TrustCode,
    Unlabeled,
)
from autoprune.foundation.schema import OUTSIDE
from autoprune.pipeline.config import check_match


@dataclass(frozen=True, kw_only=True)
class MatchConfig(Config):
    """Teach the network of a run what its dense network computes, without labels."""

    command: ClassVar[str] = "match"

    run: Given
    """Directory of a run with a compact network: of search, apply, prune, finetune or match. It is
    not changed."""
    match: Annotated[str, tyro.conf.arg(metavar="MINUTES")] = "5"
    """Minutes of matching, or steps as in 300steps."""
    unlabeled: Unlabeled = None
    teacher: Annotated[
        str | None,
        tyro.conf.arg(
            metavar="FILE", help_behavior_hint="(default: those the run began with, if it has them)"
        ),
    ] = None
    """Weights of the dense network: a file, or a run that trained it."""
    model: FromRun = None
    """Builds the dense network of a run that was given a live object."""
    data: FromRun = None
    """What the network is measured on, and matched on unless there are unlabeled samples."""
    resize: Resize = None
    task: FromRun = None
    """What a batch is, and the score."""
    seed: Annotated[
        int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: the run's)")
    ] = None
    """Seed of everything random, and of the splits of the data."""
    device: Device = "auto"
    threads: Threads = field(default=0, metadata=OUTSIDE)
    trust_code: TrustCode = field(default=False, metadata=OUTSIDE)
    run_dir: RunDirectory = field(default=None, metadata=OUTSIDE)
    fresh: Fresh = field(default=False, metadata=OUTSIDE)
    json: Json = field(default=False, metadata=OUTSIDE)
    debug: Debug = field(default=False, metadata=OUTSIDE)

    def __post_init__(self) -> None:
        numbers = {"resize": 1, "threads": 0, **({} if self.seed is None else {"seed": 0})}
        check_numbers(self, **numbers)
        check_match(self.match, self.unlabeled)
        if self.run_dir == "":
            raise UsageError("--run-dir is empty", "name a directory, or leave it out")

    @property
    def directory(self) -> Path:
        """Directory of the run: ``run_dir``, or a name made of the run's and this configuration."""
        return named_directory(self.run_dir, f"match-{Path(self.run).name}-{self.key}")
