"""The configuration of ``autoprune prune``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal

import tyro

from autoprune.config.base import (
    Align,
    Backend,
    Config,
    Debug,
    Directory,
    Flag,
    Json,
    Model,
    Name,
    Spec,
    Weights,
    check_grain,
    check_numbers,
    check_run,
    named_directory,
    named_model,
    named_ranking,
    slug,
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

    budget: Spec
    """Ceiling on cost, as 0.5flops, 0.3params or 60Mmacs; joined by commas, all must hold."""
    model: Model = None
    weights: Weights = None
    data: Spec = "digits"
    """digits, a directory, a hub name, or file.py:function."""
    task: Spec = "classification"
    """What a batch is, the loss and the score: classification, or file.py:name."""
    schedule: Literal["one-shot", "iterative"] = "one-shot"
    """Prune once and fine-tune, or prune a little, fine-tune, and again until on the budget."""
    steps: Annotated[
        int | None, tyro.conf.arg(metavar="N", help_behavior_hint=f"(default: {STEPS})")
    ] = None
    """Rounds of the iterative schedule."""
    heuristic: Name = "uniform"
    """How the budget is spread: uniform, deeper-more, shallower-more, larger-more; global."""
    granularity: Name = "channel"
    """What a unit is: channel (removed), weight (single ones, masked), or n:m as 2:4 (masked)."""
    ranking: Name = "regression"
    """Which units go first: regression, lasso, l1, l2, bn-scale or random; of weights l2 or l1."""
    finetune_epochs: int = 10
    """Epochs of training after every round; 0 leaves it out."""
    align: Align = None
    """Keep multiples of this many units where the group allows it."""
    backend: Backend = "torch"
    """What latency is measured with: torch, or onnxruntime (needs the extra [onnx])."""
    latency_batch: int = 64
    """Samples per forward pass where latency is measured."""
    seed: int = 0
    """Seed of everything random."""
    device: Name = "auto"
    """cpu, cuda, cuda:1, ...; auto takes cuda where there is one."""
    run: Directory = field(default=None, metadata=OUTSIDE)
    """Directory that holds the run; the same command again continues it."""
    fresh: Flag = field(default=False, metadata=OUTSIDE)
    """Start over; an existing run is kept beside the new one."""
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
