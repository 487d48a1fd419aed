"""The configuration of ``autoprune search``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

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
from autoprune.schema import OUTSIDE


@dataclass(frozen=True, kw_only=True)
class SearchConfig(Config):
    """Find the best plan within a budget, prune the model to it and fine-tune."""

    command: ClassVar[str] = "search"
    least: ClassVar[Mapping[str, int]] = {
        "evaluations": 1,
        "finetune_epochs": 0,
        "align": 1,
        "latency_batch": 1,
        "seed": 0,
        "workers": 0,
    }

    budget: Spec
    """Ceiling on cost, as 0.5flops, 0.3params or 60Mmacs; joined by commas, all must hold."""
    model: Model = None
    weights: Weights = None
    data: Spec = "digits"
    """digits, a directory, a hub name, or file.py:function."""
    task: Spec = "classification"
    """What a batch is, the loss and the score: classification, or file.py:name."""
    agent: Name = "ddpg"
    """Searcher: ddpg or ppo (learning); dp, evolution, greedy, random or uniform (not)."""
    granularity: Name = "channel"
    """What a unit is: channel (removed), weight (single ones, masked), or n:m as 2:4 (masked)."""
    ranking: Name = "regression"
    """Which units go first: regression, lasso, l1, l2, bn-scale or random; of weights l2 or l1."""
    evaluations: int = 100
    """Plans the searcher may try."""
    finetune_epochs: int = 10
    """Epochs of training after pruning; 0 leaves it out."""
    align: Align = None
    """Keep multiples of this many units where the group allows it."""
    backend: Backend = "torch"
    """What latency is measured with: torch, or onnxruntime (needs the extra [onnx])."""
    latency_batch: int = 64
    """Samples per forward pass where latency is measured."""
    baseline: Flag = True
    """Leave out uniform + l1 at the same budget, measured beside the result."""
    seed: int = 0
    """Seed of everything random."""
    device: Name = "auto"
    """cpu, cuda, cuda:1, ...; auto takes cuda where there is one."""
    workers: int = field(default=0, metadata=OUTSIDE)
    """Processes that evaluate plans; 0: as many as pay. The result does not depend on it."""
    run: Directory = field(default=None, metadata=OUTSIDE)
    """Directory that holds the run; the same command again continues it."""
    fresh: Flag = field(default=False, metadata=OUTSIDE)
    """Start over; an existing run is kept beside the new one."""
    json: Json = field(default=False, metadata=OUTSIDE)
    debug: Debug = field(default=False, metadata=OUTSIDE)

    def __post_init__(self) -> None:
        object.__setattr__(self, "model", named_model(self.model, self.data))
        object.__setattr__(self, "ranking", named_ranking(self.ranking, self.granularity))
        check_numbers(self, **self.least)
        check_grain(self.granularity, self.align)
        check_run(self.run)

    @property
    def directory(self) -> Path:
        """Where the run lives: ``run``, or a name made of model, budget and configuration."""
        return named_directory(self.run, f"{slug(str(self.model))}-{slug(self.budget)}-{self.key}")
