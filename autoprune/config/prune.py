"""The configuration of ``autoprune prune``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal

import tyro

from autoprune.config.base import (
    Config,
    check_grain,
    check_numbers,
    check_run,
    named_directory,
    named_model,
    named_ranking,
    slug,
)
from autoprune.config.options import (
    Align,
    Backend,
    BudgetSpec,
    DataSpec,
    Debug,
    Device,
    Fresh,
    GranularityName,
    Json,
    LatencyBatch,
    Model,
    Name,
    RankingName,
    RunDirectory,
    Seed,
    TaskSpec,
    Weights,
)
from autoprune.errors import UsageError
from autoprune.schema import OUTSIDE

STEPS = 5
"""Rounds of an iterative schedule unless told otherwise."""

_LEAST: Final = {"steps": 1, "finetune_epochs": 0, "align": 1, "latency_batch": 1, "seed": 0}


@dataclass(frozen=True, kw_only=True)
class PruneConfig(Config):
    """Prune to a budget by a rule of thumb, without search, in one round or several."""

    command: ClassVar[str] = "prune"

    budget: BudgetSpec
    model: Model = None
    weights: Weights = None
    data: DataSpec = "digits"
    task: TaskSpec = "classification"
    schedule: Literal["one-shot", "iterative"] = "one-shot"
    """Prune once and fine-tune, or prune a little, fine-tune, and again until on the budget."""
    steps: Annotated[
        int | None, tyro.conf.arg(metavar="N", help_behavior_hint=f"(default: {STEPS})")
    ] = None
    """Rounds of the iterative schedule."""
    heuristic: Name = "uniform"
    """How the budget is spread: uniform, deeper-more, shallower-more, larger-more; global."""
    granularity: GranularityName = "channel"
    ranking: RankingName = "regression"
    finetune_epochs: int = 10
    """Epochs of training after every round; 0 leaves it out."""
    align: Align = None
    backend: Backend = "torch"
    latency_batch: LatencyBatch = 64
    seed: Seed = 0
    device: Device = "auto"
    run: RunDirectory = field(default=None, metadata=OUTSIDE)
    fresh: Fresh = field(default=False, metadata=OUTSIDE)
    json: Json = field(default=False, metadata=OUTSIDE)
    debug: Debug = field(default=False, metadata=OUTSIDE)

    def __post_init__(self) -> None:
        object.__setattr__(self, "model", named_model(self.model, self.data))
        object.__setattr__(self, "ranking", named_ranking(self.ranking, self.granularity))
        if self.schedule == "one-shot" and self.steps not in (None, 1):
            raise UsageError(
                f"--steps {self.steps} is not one shot", "add --schedule iterative, or leave it out"
            )
        rounds = 1 if self.schedule == "one-shot" else STEPS if self.steps is None else self.steps
        object.__setattr__(self, "steps", rounds)
        check_numbers(self, **_LEAST)
        check_grain(self.granularity, self.align)
        check_run(self.run)

    @property
    def agent(self) -> str:
        """What decides on plans."""
        return self.heuristic

    @property
    def directory(self) -> Path:
        """Where the run lives: ``run``, or a name made of model, budget and configuration."""
        return named_directory(self.run, f"{slug(str(self.model))}-{slug(self.budget)}-{self.key}")
