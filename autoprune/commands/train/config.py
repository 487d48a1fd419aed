"""Configuration of ``autoprune train`` and ``autoprune finetune``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import tyro

from autoprune.errors import UsageError
from autoprune.foundation.config import (
    LARGEST_SEED,
    Config,
    RunConfig,
    named_directory,
    named_model,
    named_task,
    slug,
)
from autoprune.foundation.options import (
    ClassWeightsSpec,
    DataSpec,
    Debug,
    Device,
    Fresh,
    FromRun,
    Json,
    Model,
    Resize,
    RunDirectory,
    ScoreName,
    Seed,
    Spec,
    Threads,
    TrustCode,
    Weights,
)
from autoprune.foundation.schema import OUTSIDE

Count = Annotated[
    int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: the recipe's)")
]
Number = Annotated[
    float | None, tyro.conf.arg(metavar="X", help_behavior_hint="(default: the recipe's)")
]
Optimizer = Annotated[
    Literal["sgd", "adamw"] | None,
    tyro.conf.arg(metavar="sgd|adamw", help_behavior_hint="(default: the recipe's)"),
]


@dataclass(frozen=True, kw_only=True)
class _NamedNetwork(Config):
    """Options that name a network; they come before those of the recipe in ``--help``."""

    model: Model = None
    weights: Weights = None
    data: DataSpec = "digits"
    resize: Resize = None
    task: Spec = "classification"
    """What a batch is, the loss and the score: classification, causal-lm, ..., or file.py:name."""
    score: ScoreName = field(default=None, metadata=OUTSIDE)  # both become options of the task
    class_weights: ClassWeightsSpec = field(default=None, metadata=OUTSIDE)


@dataclass(frozen=True, kw_only=True)
class _TrainedNetwork(Config):
    """Options that name a network to train further, and its teacher."""

    run: Annotated[
        str | None,
        tyro.conf.arg(
            metavar="DIR",
            help="A finished run whose network is trained further: of search, prune, apply, train"
            " or finetune. It is not changed. Without it, name --model and --weights.",
            help_behavior_hint="",
        ),
    ] = None
    model: FromRun = None
    """Zoo name, file.py:function or package.module:function that returns an nn.Module."""
    weights: Weights = None
    data: FromRun = None
    """digits, a directory, a hub name, or file.py:function."""
    resize: Resize = None
    task: FromRun = None
    """What a batch is, the loss and the score: classification, causal-lm, ..., or file.py:name."""
    score: ScoreName = field(default=None, metadata=OUTSIDE)  # both become options of the task
    class_weights: ClassWeightsSpec = field(default=None, metadata=OUTSIDE)
    teacher: Annotated[
        str | None,
        tyro.conf.arg(
            metavar="FILE", help_behavior_hint="(default: those the run began with, if it has them)"
        ),
    ] = None
    """Weights of the dense network that teaches: a file, or a run that trained it."""
    distill: float = 0.5
    """Weight of the teacher's outputs in the loss (classification only); 0 for none."""


@dataclass(frozen=True, kw_only=True)
class _RecipeOptions(Config):
    """Options of the recipe; None leaves a value to the network's own recipe."""

    epochs: Count = None
    """Passes over the training split."""
    steps: Count = None
    """Length in steps, in place of epochs."""
    batch_size: Count = None
    """Samples per step."""
    optimizer: Optimizer = None
    """SGD with Nesterov momentum, or AdamW."""
    learning_rate: Number = None
    """Peak learning rate; it rises over the first quarter and falls along a cosine."""
    weight_decay: Number = None
    """Weight decay, on tensors of two or more dimensions."""
    label_smoothing: float = 0.0
    """Share of the target spread over all classes (classification only)."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of the forward pass; auto takes the faster one on this device."""
    seed: Seed = 0
    device: Device = "auto"
    threads: Threads = field(default=0, metadata=OUTSIDE)

    def __post_init__(self) -> None:
        if self.threads < 0:
            raise UsageError(f"--threads must be at least 0, not {self.threads}")
        for name in ("epochs", "steps", "batch_size", "resize"):
            value = getattr(self, name, None)
            if value is not None and value < 1:
                raise UsageError(f"--{name.replace('_', '-')} must be at least 1, not {value}")
        if self.epochs is not None and self.steps is not None:
            raise UsageError("--epochs and --steps are both lengths", "give one of them")
        if not 0 <= self.seed <= LARGEST_SEED:
            raise UsageError(f"--seed must lie in 0..{LARGEST_SEED}, not {self.seed}")


@dataclass(frozen=True, kw_only=True)
class TrainConfig(_RecipeOptions, _NamedNetwork, RunConfig):
    """Train a network from scratch or from given weights; an interrupted run can be continued."""

    command: ClassVar[str] = "train"

    def __post_init__(self) -> None:
        object.__setattr__(self, "model", named_model(self.model, self.data))
        task = named_task(self.task, self.score, self.class_weights)
        object.__setattr__(self, "task", task)
        super().__post_init__()
        RunConfig.__post_init__(self)

    @property
    def title(self) -> str:
        """Start of the name of the run's directory."""
        return f"train-{slug(str(self.model))}-{slug(self.data)}"


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig(_RecipeOptions, _TrainedNetwork):
    """Train the network of a run further, or a trained one of your own."""

    command: ClassVar[str] = "finetune"

    trust_code: TrustCode = field(default=False, metadata=OUTSIDE)
    run_dir: RunDirectory = field(default=None, metadata=OUTSIDE)
    fresh: Fresh = field(default=False, metadata=OUTSIDE)
    json: Json = field(default=False, metadata=OUTSIDE)
    debug: Debug = field(default=False, metadata=OUTSIDE)

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.run is None) == (self.weights is None):
            raise UsageError(
                "finetune needs a network: a finished run, or trained weights",
                "as in --run logs/RUN, or --model resnet20 --weights FILE --data DIR",
            )
        if self.weights is not None:
            object.__setattr__(self, "data", self.data or "digits")
            object.__setattr__(self, "model", named_model(self.model, str(self.data)))
        if self.score or self.class_weights:
            kind = self.task or "classification"
            task = named_task(kind, self.score, self.class_weights)
            object.__setattr__(self, "task", task)
        if not 0 <= self.distill <= 1:
            raise UsageError(f"--distill must lie in [0, 1], not {self.distill}")

    @property
    def directory(self) -> Path:
        """Directory of the run: ``run_dir``, or a name made of the network and configuration."""
        source = slug(str(self.model)) if self.run is None else Path(self.run).name
        return named_directory(self.run_dir, f"finetune-{slug(source)}-{self.key}")
