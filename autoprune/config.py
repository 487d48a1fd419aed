"""The configuration of every command: schema, command line, saved JSON and hash in one dataclass.

A field's type and docstring make its option and its help. Adding a command means adding a dataclass
here and a function in ``autoprune.cli``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import tyro

from autoprune.errors import UsageError
from autoprune.files import canonical, digest
from autoprune.schema import OUTSIDE, decode_fields, encode_fields

LARGEST_SEED = 2**64 - 1
"""What torch takes; the other generators are given what is left of it."""

Name = Annotated[str, tyro.conf.arg(metavar="NAME")]
Spec = Annotated[str, tyro.conf.arg(metavar="SPEC")]
Model = Annotated[
    str | None,
    tyro.conf.arg(
        metavar="SPEC",
        help="Zoo name, file.py:function or package.module:function that returns an nn.Module.",
        help_behavior_hint="(default: digits-resnet, for digits)",
    ),
]
Weights = Annotated[
    str | None,
    tyro.conf.arg(
        metavar="FILE",
        help="Trained weights: safetensors, or a checkpoint that loads with weights_only.",
        help_behavior_hint="",
    ),
]
Directory = Annotated[
    str | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="(default: logs/<generated>)")
]
Given = Annotated[str, tyro.conf.arg(metavar="DIR")]
ExportForm = Literal["onnx", "pt2", "safetensors"]
Flag = Annotated[bool, tyro.conf.arg(help_behavior_hint="")]
Json = Annotated[Flag, tyro.conf.arg(help="Print one JSON object instead of tables.")]
Debug = Annotated[Flag, tyro.conf.arg(help="Show the traceback of an error.")]


@dataclass(frozen=True, kw_only=True)
class Config:
    """What every command has in common."""

    command: ClassVar[str]

    def to_json(self) -> dict[str, Any]:
        """Return everything the outcome depends on, defaults included."""
        return encode_fields(self)

    @classmethod
    def from_json(cls, data: object) -> Self:
        """Read what ``to_json`` wrote.

        Raises DamagedError for an unknown or missing field or a value of another type.
        """
        return cls(**decode_fields(cls, data, f"the configuration of {cls.command}"))

    @property
    def key(self) -> str:
        """Eight hexadecimal digits that stand for command and configuration.

        Fields at their default are left out, so that a field added later changes no key.
        """
        defaults = {item.name: item.default for item in fields(self)}
        chosen = {name: v for name, v in self.to_json().items() if v != defaults[name]}
        return digest(canonical([self.command, chosen]))[:8]


@dataclass(frozen=True, kw_only=True)
class SearchConfig(Config):
    """Find the best plan within a budget, prune the model to it and fine-tune."""

    command: ClassVar[str] = "search"

    budget: Spec
    """Ceiling on cost, as 0.5flops, 0.3params or 60Mmacs; joined by commas, all must hold."""
    model: Model = None
    weights: Weights = None
    data: Spec = "digits"
    """digits, a directory, a hub name, or file.py:function."""
    task: Spec = "classification"
    """What a batch is, the loss and the score: classification, or file.py:name."""
    agent: Name = "ddpg"
    """Searcher: ddpg or ppo (learning), uniform or random (not)."""
    ranking: Name = "regression"
    """Which units go first: regression, lasso, l1, l2, bn-scale or random."""
    evaluations: int = 100
    """Plans the searcher may try."""
    finetune_epochs: int = 10
    """Epochs of training after pruning; 0 leaves it out."""
    align: int = 1
    """Keep multiples of this many units where the group allows it."""
    baseline: Flag = True
    """Leave out uniform + l1 at the same budget, measured beside the result."""
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
        object.__setattr__(self, "model", _model(self.model, self.data))
        for name, least in (("evaluations", 1), ("finetune_epochs", 0), ("align", 1), ("seed", 0)):
            value, option = getattr(self, name), f"--{name.replace('_', '-')}"
            if type(value) is not int:
                raise UsageError(f"{option} must be a whole number, not {value!r}")
            if value < least:
                raise UsageError(f"{option} must be at least {least}, not {value}")
        if self.seed > LARGEST_SEED:
            raise UsageError(f"--seed must be at most {LARGEST_SEED}, not {self.seed}")
        if self.run == "":
            raise UsageError("--run is empty", "name a directory, or leave it out")

    @property
    def directory(self) -> Path:
        """Where the run lives: ``run``, or a name made of model, budget and configuration."""
        if self.run is not None:
            return Path(self.run)
        return Path("logs") / f"{slug(str(self.model))}-{slug(self.budget)}-{self.key}"


@dataclass(frozen=True, kw_only=True)
class InspectConfig(Config):
    """Show what can be pruned: groups, sizes, cost shares, and what is pinned and why."""

    command: ClassVar[str] = "inspect"

    model: Model = None
    weights: Weights = None
    data: Spec = "digits"
    """Gives the model its input: digits, a directory, a hub name, or file.py:function."""
    task: Spec = "classification"
    """What a batch is: classification, or file.py:name."""
    json: Json = field(default=False, metadata=OUTSIDE)
    debug: Debug = field(default=False, metadata=OUTSIDE)

    def __post_init__(self) -> None:
        object.__setattr__(self, "model", _model(self.model, self.data))


@dataclass(frozen=True, kw_only=True)
class ProfileConfig(Config):
    """Show where the cost is: MACs, parameters, bytes, energy and time of every layer."""

    command: ClassVar[str] = "profile"

    model: Model = None
    weights: Weights = None
    data: Spec = "digits"
    """Gives the model its input: digits, a directory, a hub name, or file.py:function."""
    task: Spec = "classification"
    """What a batch is: classification, or file.py:name."""
    energy: Annotated[
        str | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="(default: 45 nm)")
    ] = None
    """Prices of operations and memory accesses in picojoules, as a JSON object."""
    device: Name = "auto"
    """cpu, cuda, cuda:1, ...; auto takes cuda where there is one."""
    json: Json = field(default=False, metadata=OUTSIDE)
    debug: Debug = field(default=False, metadata=OUTSIDE)

    def __post_init__(self) -> None:
        object.__setattr__(self, "model", _model(self.model, self.data))


@dataclass(frozen=True, kw_only=True)
class ExportConfig(Config):
    """Write the network of a run for other programs, checked against PyTorch on real inputs."""

    command: ClassVar[str] = "export"

    run: Given
    """Directory of a finished run."""
    to: ExportForm
    """onnx (needs the extra [onnx]), pt2 (torch.export), or safetensors (spec and weights)."""
    output: Annotated[
        str | None, tyro.conf.arg(metavar="PATH", help_behavior_hint="(default: inside the run)")
    ] = None
    """File to write; a directory for safetensors."""
    model: Annotated[
        str | None, tyro.conf.arg(metavar="SPEC", help_behavior_hint="(default: the run's)")
    ] = None
    """Builds the dense network of a run that was given a live object."""
    data: Annotated[
        str | None, tyro.conf.arg(metavar="SPEC", help_behavior_hint="(default: the run's)")
    ] = None
    """Real inputs for the check."""
    task: Annotated[
        str | None, tyro.conf.arg(metavar="SPEC", help_behavior_hint="(default: the run's)")
    ] = None
    """What a batch is."""
    json: Json = field(default=False, metadata=OUTSIDE)
    debug: Debug = field(default=False, metadata=OUTSIDE)

    @property
    def path(self) -> Path:
        """What is written: ``output``, or ``model.onnx``, ``model.pt2``, ``safetensors/``."""
        if self.output is not None:
            return Path(self.output)
        return Path(self.run) / (self.to if self.to == "safetensors" else f"model.{self.to}")


def _model(model: str | None, data: str) -> str:
    if model is None and data != "digits":
        raise UsageError(f"--data {data} needs a --model", "as in --model resnet20 --weights FILE")
    return model or "digits-resnet"


def slug(text: str) -> str:
    """Make a file name out of a spec: ``nets/mynet.py:build`` -> ``mynet-build``."""
    name = re.sub(r"\.py(?=:|$)", "", text.replace("\\", "/").rsplit("/", 1)[-1])
    return re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-.")[:60] or "run"
