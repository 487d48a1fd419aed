"""Configuration of every command that prunes within a budget, and of ``autoprune search``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from autoprune.errors import UsageError
from autoprune.foundation.config import (
    RunConfig,
    check_numbers,
    kept_layer,
    named_model,
    named_ranking,
    named_task,
    slug,
)
from autoprune.foundation.options import (
    Align,
    Backend,
    BudgetSpec,
    ClassWeightsSpec,
    DataSpec,
    DenseBaseline,
    Depth,
    Device,
    Flag,
    GranularityName,
    KeptLayers,
    LatencyBatch,
    Minutes,
    Model,
    Name,
    OnlyLayers,
    OutputNames,
    Resize,
    ScoreName,
    Seed,
    SizeNames,
    Suppressed,
    TaskSpec,
    Threads,
    Weights,
    Workers,
)
from autoprune.foundation.schema import OUTSIDE, decode_fields, written
from autoprune.pipeline.options import RankingName, SearcherName


@dataclass(frozen=True, kw_only=True)
class PruningConfig(RunConfig):
    """Options of every command that prunes a network within a budget.

    ``least``: lowest value of each whole number. Raises UsageError, naming the option, for values
    out of range.
    """

    least: ClassVar[Mapping[str, int]] = {
        "finetune_epochs": 0,
        "align": 1,
        "resize": 1,
        "latency_batch": 1,
        "seed": 0,
        "threads": 0,
    }

    budget: BudgetSpec
    model: Model = None
    weights: Weights = None
    data: DataSpec = "digits"
    resize: Resize = None
    task: TaskSpec = "classification"
    score: ScoreName = field(default=None, metadata=OUTSIDE)  # both become options of the task
    class_weights: ClassWeightsSpec = field(default=None, metadata=OUTSIDE)
    granularity: GranularityName = "channel"
    keep: KeptLayers = ()
    only: OnlyLayers = ()
    outputs: OutputNames = ()
    sizes: SizeNames = ()
    ranking: RankingName = "regression"
    finetune_epochs: int = 10
    """Epochs of training after pruning; 0 leaves it out."""
    align: Align = None
    depth: Depth = "off"
    backend: Backend = "torch"
    latency_batch: LatencyBatch = 64
    seed: Seed = 0
    device: Device = "auto"
    threads: Threads = field(default=0, metadata=OUTSIDE)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "model", named_model(self.model, self.data))
        task = named_task(self.task, self.score, self.class_weights)
        object.__setattr__(self, "task", task)
        object.__setattr__(self, "ranking", named_ranking(self.ranking, self.granularity))
        check_numbers(self, **self.least)
        for text in self.keep:
            kept_layer(text)
        if self.granularity != "channel" and self.align not in (None, 1):
            raise UsageError(
                f"--align {self.align} counts channels, and --granularity {self.granularity}"
                " removes none",
                "leave --align out",
            )

    @classmethod
    def part_of(cls, data: object) -> PruningConfig:
        """Read these options out of the stored configuration of any command that extends them.

        Raises DamagedError for a missing option or one of another type.
        """
        known = {item.name for item in written(PruningConfig)}
        if isinstance(data, dict):
            data = {name: value for name, value in data.items() if name in known}
        return PruningConfig(**decode_fields(PruningConfig, data, "the stored configuration"))

    @property
    def title(self) -> str:
        """Model and budget."""
        return f"{slug(str(self.model))}-{slug(self.budget)}"


@dataclass(frozen=True, kw_only=True)
class SearchConfig(PruningConfig):
    """Find the best plan within a budget, prune the model to it and fine-tune."""

    command: ClassVar[str] = "search"
    least: ClassVar[Mapping[str, int]] = {**PruningConfig.least, "evaluations": 1, "workers": 0}

    agent: SearcherName = "ddpg"
    reward: Name = "loss"
    """What a learning agent maximizes: loss (negated), score, or another registered reward."""
    evaluations: int = 100
    """Plans the searcher may try."""
    baseline: Flag = True
    """Leave out uniform + l1 at the same budget, measured beside the result."""
    beside: DenseBaseline = None
    minutes: Minutes = None
    evaluate: Suppressed = None
    finetune: Suppressed = None
    workers: Workers = field(default=0, metadata=OUTSIDE)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.minutes is not None and not 0 < self.minutes < math.inf:
            raise UsageError(
                f"--minutes must be above 0, not {self.minutes:g}", "leave it out for no limit"
            )
