"""Base of the configurations of all commands: options, JSON, hash, generated names.

A field's type and docstring make its option and its help.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

from autoprune.errors import DamagedError, UsageError
from autoprune.foundation.files import canonical, digest
from autoprune.foundation.options import Debug, Fresh, Json, RunDirectory
from autoprune.foundation.schema import OUTSIDE, decode_fields, encode, encode_fields

MOST_WORKERS = 256
"""Worker processes that may be asked for: each holds a network and data."""

LARGEST_SEED = 2**64 - 1
"""Largest seed that torch accepts; other generators get it modulo their own range."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Configuration of a command."""

    command: ClassVar[str]

    @property
    def directory(self) -> Path | None:
        """Directory of the run; None for commands that write none."""
        return None

    def to_json(self) -> dict[str, Any]:
        """Return everything the outcome depends on, defaults included."""
        return encode_fields(self)

    @classmethod
    def from_json(cls, data: object) -> Self:
        """Read what ``to_json`` wrote.

        Raises DamagedError for an unknown or missing field, a value of another type, or values
        that the command line would refuse.
        """
        what = f"the configuration of {cls.command}"
        fields = decode_fields(cls, data, what)
        try:
            return cls(**fields)
        except UsageError as error:
            raise DamagedError(f"{what} makes no sense: {error.args[0]}") from None

    @property
    def key(self) -> str:
        """Eight hexadecimal digits that identify command and configuration.

        Fields at their default are left out, hence a field added later changes no key.
        """
        return digest(canonical([self.command, self.chosen()]))[:8]

    def chosen(self, *always: str) -> dict[str, Any]:
        """Return the JSON of the fields that are not at their default, and of those named."""
        defaults = {item.name: encode(item.default) for item in fields(self)}
        return {
            name: value
            for name, value in self.to_json().items()
            if value != defaults[name] or name in always
        }


Made = TypeVar("Made", bound=Config)

_OF_THE_TERMINAL = frozenset(("json", "debug"))


def from_options(kind: type[Made], options: Mapping[str, Any]) -> Made:
    """Make a configuration of options that a caller passes by name; None leaves one out.

    Lists are taken for tuples, paths for texts. Raises UsageError for an option that the command
    does not have.
    """
    known = [item.name for item in fields(kind) if item.name not in _OF_THE_TERMINAL]
    for name in options:
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(known)}"
            raise UsageError(f"{kind.command} has no option {name!r}", hint)
    given: dict[str, Any] = {
        name: tuple(value)
        if isinstance(value, list)
        else str(value)
        if isinstance(value, Path)
        else value
        for name, value in options.items()
        if value is not None
    }
    return kind(**given)


@dataclass(frozen=True, kw_only=True)
class RunConfig(Config):
    """Configuration of a command that writes a run directory.

    Raises UsageError for an empty ``--run``, and for text that is none in any option.
    """

    run: RunDirectory = field(default=None, metadata=OUTSIDE)
    fresh: Fresh = field(default=False, metadata=OUTSIDE)
    json: Json = field(default=False, metadata=OUTSIDE)
    debug: Debug = field(default=False, metadata=OUTSIDE)

    def __post_init__(self) -> None:
        if self.run == "":
            raise UsageError("--run is empty", "name a directory, or leave it out")
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, str) and value != value.encode("utf-8", "replace").decode():
                raise UsageError(f"{item.name} is not text: {value!a}", "use names in UTF-8")

    @property
    def title(self) -> str:
        """Readable name of the run, without the key of its configuration."""
        raise NotImplementedError

    @property
    def former_title(self) -> str | None:
        """Title that earlier versions gave the run, if it was another."""
        return None

    @property
    def directory(self) -> Path:
        """Directory of the run: ``run``, or a name of title and key in ``logs/``.

        A run that an earlier version began is found under the name that it had then.
        """
        named = named_directory(self.run, f"{self.title}-{self.key}")
        if self.run is None and self.former_title is not None:
            former = named.with_name(f"{self.former_title}-{self.key}")
            return former if former.is_dir() and not named.is_dir() else named
        return named


def named_model(model: str | None, data: str) -> str:
    """Return the model a command works on, by default the embedded one for the embedded data.

    Raises UsageError for other data without a model.
    """
    if model is None and data != "digits":
        raise UsageError(f"--data {data} needs a --model", "as in --model resnet20 --weights FILE")
    return model or "digits-resnet"


def named_ranking(ranking: str, granularity: str) -> str:
    """Return the ranking a command uses: l2 in place of regression, unless units are channels."""
    return "l2" if ranking == "regression" and granularity != "channel" else ranking


def named_task(task: str, score: str | None, class_weights: str | None) -> str:
    """Return the task a command works on: ``--score`` and ``--class-weights`` become its options.

    Raises UsageError for other tasks than classification.
    """
    kind, *options = task.split(",")
    given = {"score": score, "class_weights": class_weights and class_weights.replace(",", "/")}
    asked = {f"{name}=": value for name, value in given.items() if value is not None}
    if asked and kind != "classification":
        option = f"--{min(asked).rstrip('=').replace('_', '-')}"
        raise UsageError(f"{option} is for classification, not for --task {kind}", "leave it out")
    options = [one for one in options if not one.startswith(tuple(asked))] if asked else options
    return ",".join((kind, *sorted(options + [name + value for name, value in asked.items()])))


def kept_layer(text: str) -> tuple[str, float]:
    """Read ``LAYER`` (all of it, 1.0) or ``LAYER=FRACTION``; raise UsageError for anything else."""
    layer, equals, fraction = text.partition("=")
    try:
        value = float(fraction) if equals else 1.0
    except ValueError:
        value = math.nan
    if not layer or not 0 < value <= 1:
        raise UsageError(
            f"cannot read --keep {text!r}", "write LAYER, or LAYER=FRACTION as in layer1.*=0.5"
        )
    return layer, value


def check_numbers(config: Config, **least: int) -> None:
    """Raise UsageError, naming the option, unless each field is a whole number of at least so much.

    A seed must be at most ``LARGEST_SEED``, workers at most ``MOST_WORKERS``, too.
    """
    for name, lowest in least.items():
        value, option = getattr(config, name), f"--{name.replace('_', '-')}"
        if value is None and name in ("align", "resize", "round"):
            continue
        if type(value) is not int:
            raise UsageError(f"{option} must be a whole number, not {value!r}")
        if value < lowest:
            raise UsageError(f"{option} must be at least {lowest}, not {value}")
        if name == "workers" and value > MOST_WORKERS:
            raise UsageError(f"--workers must be at most {MOST_WORKERS}, not {value}")
        if name == "seed" and value > LARGEST_SEED:
            raise UsageError(f"--seed must be at most {LARGEST_SEED}, not {value}")


def named_directory(run: str | None, name: str) -> Path:
    """Return the directory of a run: the one the user names, or ``name`` in logs/."""
    return Path("logs") / name if run is None else Path(run)


def slug(text: str) -> str:
    """Make a file name out of a spec: ``nets/mynet.py:build`` -> ``mynet-build``."""
    name = re.sub(r"\.py(?=:|$)", "", text.replace("\\", "/").rsplit("/", 1)[-1])
    return re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-.")[:60] or "run"
