"""The configuration of ``autoprune search``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

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
    Flag,
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
    Workers,
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

    budget: BudgetSpec
    model: Model = None
    weights: Weights = None
    data: DataSpec = "digits"
    task: TaskSpec = "classification"
    agent: Name = "ddpg"
    """Searcher: ddpg or ppo (learning); dp, evolution, greedy, random or uniform (not)."""
    granularity: GranularityName = "channel"
    ranking: RankingName = "regression"
    evaluations: int = 100
    """Plans the searcher may try."""
    finetune_epochs: int = 10
    """Epochs of training after pruning; 0 leaves it out."""
    align: Align = None
    backend: Backend = "torch"
    latency_batch: LatencyBatch = 64
    baseline: Flag = True
    """Leave out uniform + l1 at the same budget, measured beside the result."""
    seed: Seed = 0
    device: Device = "auto"
    workers: Workers = field(default=0, metadata=OUTSIDE)
    run: RunDirectory = field(default=None, metadata=OUTSIDE)
    fresh: Fresh = field(default=False, metadata=OUTSIDE)
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
