"""The configuration of ``autoprune compare``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, ClassVar

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
    RankingName,
    RunDirectory,
    TaskSpec,
    Weights,
    Workers,
)
from autoprune.config.search import SearchConfig
from autoprune.errors import UsageError
from autoprune.schema import OUTSIDE

Names = Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...")]
Specs = Annotated[
    tuple[str, ...], tyro.conf.arg(metavar="SPEC ...", help_behavior_hint="(default: none)")
]


@dataclass(frozen=True, kw_only=True)
class CompareConfig(Config):
    """Run several searchers on equal evaluations, over several seeds, side by side."""

    command: ClassVar[str] = "compare"
    least: ClassVar[Mapping[str, int]] = {
        "evaluations": 1,
        "seeds": 1,
        "finetune_epochs": 0,
        "align": 1,
        "latency_batch": 1,
        "workers": 0,
    }

    budget: BudgetSpec
    budgets: Specs = ()
    """Further budgets, for the plot of accuracy against budget."""
    model: Model = None
    weights: Weights = None
    data: DataSpec = "digits"
    task: TaskSpec = "classification"
    agents: Names = ("uniform", "random", "dp", "evolution", "ddpg")
    """Searchers: ddpg, ppo, dp, evolution, greedy, random, uniform."""
    granularity: GranularityName = "channel"
    ranking: RankingName = "regression"
    evaluations: int = 100
    """Plans that each searcher may try."""
    seeds: int = 5
    """Searches of each agent: seeds 0, 1, ... of calibration, search split and agent."""
    finetune_epochs: int = 2
    """Epochs of training after pruning, the same for all; 0 leaves it out."""
    align: Align = None
    backend: Backend = "torch"
    latency_batch: LatencyBatch = 64
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
        if not self.agents:
            raise UsageError("--agents names none", "--agents uniform dp ddpg")
        if len(set(self.agents)) < len(self.agents) or self.budget in self.budgets:
            raise UsageError("an agent or a budget is named twice", "name each once")
        check_run(self.run)

    @property
    def directory(self) -> Path:
        """Where the run lives: ``run``, or a name made of model, budget and configuration."""
        return named_directory(
            self.run, f"compare-{slug(str(self.model))}-{slug(self.budget)}-{self.key}"
        )

    def search(self, budget: str, seed: int) -> SearchConfig:
        """Return the search that one budget and one seed stand for."""
        own = {item.name for item in fields(SearchConfig)} & {item.name for item in fields(self)}
        shared = {name: getattr(self, name) for name in own - {"budget", "run"}}
        return SearchConfig(budget=budget, seed=seed, run=str(self.directory), **shared)
