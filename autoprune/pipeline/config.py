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
from autoprune.foundation.executors import LOCAL, ROUND, check_executor
from autoprune.foundation.options import (
    MINIMIZED,
    Align,
    AnyBudget,
    Backend,
    Budgets,
    BudgetSpec,
    ClassWeightsSpec,
    DataSpec,
    DenseBaseline,
    Depth,
    Device,
    ExecutorName,
    Flag,
    GranularityName,
    KeptLayers,
    LatencyBatch,
    Match,
    MaxDrop,
    Minimize,
    Minutes,
    Model,
    Name,
    OnlyLayers,
    OutputNames,
    Resize,
    Round,
    ScoreName,
    Seed,
    SizeNames,
    Suppressed,
    TaskSpec,
    Threads,
    Unlabeled,
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
    match: Match = None
    unlabeled: Unlabeled = None
    finetune_epochs: int = 10
    """Epochs of training after pruning; 0 leaves it out."""
    align: Align = None
    depth: Depth = None
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
        check_match(self.match, self.unlabeled)
        if self.depth not in (None, "auto", "off"):  # from Python
            raise UsageError(f"there is no depth {self.depth!r:.40}", "'auto' or 'off'")
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
    def subject(self) -> str:
        """Model and budget."""
        return f"{slug(str(self.model))}-{slug(self.budget)}"

    @property
    def ceiling(self) -> str:
        """Budget that the network is set up for."""
        return self.budget

    @property
    def title(self) -> str:
        """Command, model and budget."""
        return f"{self.command}-{self.subject}"

    @property
    def former_title(self) -> str | None:
        """Model and budget alone, before there was a list of runs of all commands."""
        return self.subject


def check_match(match: str | None, unlabeled: str | None) -> None:
    """Raise UsageError unless ``match`` is a number of minutes or of steps, or None."""
    if match is None:
        if unlabeled is not None:
            raise UsageError("--unlabeled is for matching", "add --match 5, five minutes of it")
        return
    steps = match.removesuffix("steps")
    sound = steps.isdecimal() and int(steps) > 0 if steps != match else _is_time(match)
    if not sound:
        raise UsageError(
            f"--match must be minutes above 0, or steps, not {match!r:.40}", "as in 5 or 300steps"
        )


def check_points(value: object) -> None:
    """Raise UsageError unless a value is a number of points that may be lost."""
    if type(value) not in (int, float) or not 0 <= float(str(value)) < 100:
        raise UsageError(
            f"--max-drop must be points from 0 to below 100, not {value!r:.20}", "as in 1.0"
        )


def _is_time(text: str) -> bool:
    try:
        return 0 < float(text) < math.inf
    except ValueError:
        return False


@dataclass(frozen=True, kw_only=True)
class EvaluatingConfig(PruningConfig):
    """Options of every command that evaluates plans: where, and how many at a time."""

    least: ClassVar[Mapping[str, int]] = {
        **PruningConfig.least,
        "evaluations": 1,
        "workers": 0,
        "round": 1,
    }

    evaluations: int = 100
    """Plans the searcher may try."""
    workers: Workers = field(default=0, metadata=OUTSIDE)
    executor: ExecutorName = field(default=LOCAL, metadata=OUTSIDE)
    round: Round = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_executor(self.executor)
        if self.round is None and self.executor != LOCAL and self.workers > ROUND:
            object.__setattr__(self, "round", self.workers)

    @property
    def round_size(self) -> int:
        """Plans that are proposed at a time."""
        return self.round or ROUND


@dataclass(frozen=True, kw_only=True)
class SearchConfig(EvaluatingConfig):
    """Find the best plan within a budget, prune the model to it and fine-tune."""

    command: ClassVar[str] = "search"

    budget: AnyBudget = ""
    budgets: Budgets = None
    max_drop: MaxDrop = None
    minimize: Minimize = None
    agent: SearcherName = "ddpg"
    reward: Name = "loss"
    """What a learning agent maximizes: loss (negated), score, or another registered reward."""
    baseline: Flag = True
    """Leave out uniform + l1 at the same budget, measured beside the result."""
    beside: DenseBaseline = None
    minutes: Minutes = None
    evaluate: Suppressed = None
    finetune: Suppressed = None

    @property
    def title(self) -> str:
        """Command, model, budget and agent."""
        return f"{super().title}-{slug(self.agent)}"

    def __post_init__(self) -> None:
        self._check_aim()
        super().__post_init__()
        if self.minutes is not None and not 0 < self.minutes < math.inf:
            raise UsageError(
                f"--minutes must be above 0, not {self.minutes:g}", "leave it out for no limit"
            )

    def _check_aim(self) -> None:
        """Raise UsageError unless exactly one of the options that say how small is given."""
        options = {
            "budget": self.budget or None,
            "budgets": self.budgets,
            "max-drop": self.max_drop,
        }
        given = [f"--{name}" for name, value in options.items() if value is not None]
        if len(given) > 1:
            raise UsageError(f"{' and '.join(given)} exclude each other", "give one of them")
        if not given:
            raise UsageError(
                f"{self.command} needs --budget, --budgets or --max-drop",
                "as in --budget 0.5flops",
            )
        if self.minimize is not None and self.max_drop is None:
            raise UsageError("--minimize is for --max-drop", "a budget says itself what it limits")
        if self.minimize not in (None, *MINIMIZED):  # from Python
            raise UsageError(f"--minimize takes {', '.join(MINIMIZED)}, not {self.minimize!r:.40}")
        if self.max_drop is not None:
            check_points(self.max_drop)
        if len(set(self.each_budget)) < len(self.each_budget):
            raise UsageError("--budgets names a budget twice", "name each once")

    @property
    def each_budget(self) -> tuple[str, ...]:
        """Budgets of a family, each as ``--budget`` takes it."""
        texts = () if self.budgets is None else self.budgets.split(",")
        return tuple(text.strip().replace("+", ",") for text in texts)

    @property
    def minimized(self) -> str:
        """Unit of the cost that ``max_drop`` minimizes."""
        return self.minimize or MINIMIZED[0]

    @property
    def subject(self) -> str:
        """Model and budget or budgets, or what may be lost."""
        if self.budgets is not None:
            return f"{slug(str(self.model))}-{slug(self.budgets)}"
        if self.max_drop is None:
            return super().subject
        return f"{slug(str(self.model))}-drop-{self.max_drop:g}-{self.minimized}"

    @property
    def ceiling(self) -> str:
        """The budget, or all of what is minimized, or what the budgets of a family limit."""
        if self.budgets is not None:
            return ",".join(self.each_budget)
        return self.budget if self.max_drop is None else f"1{self.minimized}"
