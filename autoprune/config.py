"""The configuration of every command: schema, command line, saved JSON and hash in one dataclass.

A field's type and docstring make its option and its help. Adding a command means adding a dataclass
here and a function in ``autoprune.cli``.
"""

from __future__ import annotations

import re
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, ClassVar, Self, Union, get_args, get_origin, get_type_hints

import tyro

from autoprune.errors import DamagedError, UsageError
from autoprune.files import canonical, digest

_PRESENTATION = {"presentation": True}  # how a result is shown or where it lies, not what it is

Spec = Annotated[str, tyro.conf.arg(metavar="SPEC")]
OptionalFile = Annotated[str | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")]


@dataclass(frozen=True, kw_only=True)
class Config:
    """What every command has in common."""

    command: ClassVar[str]

    json: bool = field(default=False, metadata=_PRESENTATION)
    """Print one JSON object instead of tables."""
    debug: bool = field(default=False, metadata=_PRESENTATION)
    """Show the traceback of an error."""

    def to_json(self) -> dict[str, Any]:
        """Return everything the outcome depends on, defaults included."""
        return {name: getattr(self, name) for name in self._names()}

    @classmethod
    def from_json(cls, data: object) -> Self:
        """Read what ``to_json`` wrote.

        Raises DamagedError for an unknown or missing field or a value of another type.
        """
        if not isinstance(data, dict):
            raise DamagedError(f"not a configuration of {cls.command}: expected an object")
        for name in data:
            if name not in cls._names():
                raise DamagedError(
                    f"unknown field {name!r} in the configuration of {cls.command}",
                    "it was written by another version, or by hand",
                )
        hints = get_type_hints(cls)
        for item in fields(cls):
            if item.name not in data and item.default is MISSING:
                raise DamagedError(f"the configuration of {cls.command} lacks {item.name!r}")
            if item.name in data and not _fits(data[item.name], hints[item.name]):
                raise DamagedError(
                    f"{item.name}={data[item.name]!r} in the configuration of {cls.command}"
                    " has the wrong type"
                )
        return cls(**data)

    @property
    def key(self) -> str:
        """Eight hexadecimal digits that stand for command and configuration.

        Fields at their default are left out, so that a field added later changes no key.
        """
        defaults = {item.name: item.default for item in fields(self)}
        chosen = {name: v for name, v in self.to_json().items() if v != defaults[name]}
        return digest(canonical([self.command, chosen]))[:8]

    @classmethod
    def _names(cls) -> list[str]:
        return [item.name for item in fields(cls) if not item.metadata.get("presentation")]


@dataclass(frozen=True, kw_only=True)
class SearchConfig(Config):
    """Find the best plan within a budget, prune the model to it and fine-tune."""

    command: ClassVar[str] = "search"

    budget: str
    """Ceiling on cost, as 0.5flops, 0.3params or 60Mmacs; joined by commas, all must hold."""
    model: Annotated[
        str | None, tyro.conf.arg(metavar="SPEC", help_behavior_hint="(digits: digits-resnet)")
    ] = None
    """Zoo name, file.py:function or package.module:function that returns an nn.Module."""
    weights: OptionalFile = None
    """Trained weights: safetensors, or a checkpoint that torch.load reads with weights_only."""
    data: Spec = "digits"
    """digits, a directory, a hub name, or file.py:function."""
    task: Spec = "classification"
    """What a batch is, the loss and the score: classification, or file.py:name."""
    agent: Annotated[str, tyro.conf.arg(metavar="NAME")] = "ddpg"
    """Searcher: ddpg or ppo (learning), uniform or random (not)."""
    ranking: Annotated[str, tyro.conf.arg(metavar="NAME")] = "regression"
    """Which units go first: regression, lasso, l1, l2, bn-scale or random."""
    evaluations: int = 100
    """Plans the searcher may try."""
    finetune_epochs: int = 10
    """Epochs of training after pruning; 0 leaves it out."""
    align: int = 1
    """Keep multiples of this many units where the group allows it."""
    seed: int = 0
    """Seed of everything random."""
    device: Annotated[str, tyro.conf.arg(metavar="NAME")] = "auto"
    """cpu, cuda, cuda:1, ...; auto takes cuda where there is one."""
    run: Annotated[
        str | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="(logs/<generated>)")
    ] = field(default=None, metadata=_PRESENTATION)
    """Directory that holds the run; the same command again continues it."""
    fresh: bool = field(default=False, metadata=_PRESENTATION)
    """Start over; an existing run is kept beside the new one."""

    def __post_init__(self) -> None:
        if self.model is None and self.data == "digits":
            object.__setattr__(self, "model", "digits-resnet")
        if self.model is None:
            raise UsageError(
                f"--data {self.data} needs a --model", "for example --model resnet20 --weights FILE"
            )
        for name, least in (("evaluations", 1), ("finetune_epochs", 0), ("align", 1), ("seed", 0)):
            if getattr(self, name) < least:
                option = name.replace("_", "-")
                raise UsageError(f"--{option} must be at least {least}, not {getattr(self, name)}")

    @property
    def directory(self) -> Path:
        """Where the run lives: ``run``, or a name made of model, budget and configuration."""
        if self.run is not None:
            return Path(self.run)
        return Path("logs") / f"{_slug(str(self.model))}-{_slug(self.budget)}-{self.key}"


@dataclass(frozen=True, kw_only=True)
class InspectConfig(Config):
    """Show what can be pruned: groups, sizes, cost shares, and what is pinned and why."""

    command: ClassVar[str] = "inspect"

    model: Annotated[
        str | None, tyro.conf.arg(metavar="SPEC", help_behavior_hint="(digits: digits-resnet)")
    ] = None
    """Zoo name, file.py:function or package.module:function that returns an nn.Module."""
    weights: OptionalFile = None
    """Trained weights; the structure does not depend on them."""
    data: Spec = "digits"
    """Gives the model its input: digits, a directory, a hub name, or file.py:function."""


def _slug(text: str) -> str:
    """Make a file name out of a spec: ``nets/mynet.py:build`` -> ``mynet-build``."""
    name = re.sub(r"\.py(?=:|$)", "", text.replace("\\", "/").rsplit("/", 1)[-1])
    return re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-.")[:60] or "run"


def _fits(value: object, hint: Any) -> bool:
    """Tell whether a JSON value has the type of a field; an int may be a float, a bool not."""
    if get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    if get_origin(hint) in (UnionType, Union):
        return any(_fits(value, option) for option in get_args(hint))
    if hint is float:
        return type(value) in (int, float)
    return type(value) is hint or (hint is type(None) and value is None)
