"""Configuration of ``autoprune train-policy``."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Final

import tyro

from autoprune.errors import UsageError
from autoprune.foundation.config import RunConfig, check_numbers, slug
from autoprune.foundation.options import (
    Align,
    Device,
    Resize,
    Seed,
    Spec,
    TaskSpec,
    TrustCode,
)
from autoprune.foundation.schema import OUTSIDE
from autoprune.pipeline.options import LearnerName, RankingName

STEPS: Final = 6
"""Budgets that a range stands for."""

_RANGE: Final = re.compile(r"\s*(\d*\.?\d+)\s*\.\.\s*(\d*\.?\d+)\s*([a-zA-Z]*)\s*")


@dataclass(frozen=True)
class Source:
    """One network to train a policy on; ``data`` None means the command's ``--data``."""

    model: str
    weights: str | None = None
    data: str | None = None
    resize: int | None = None

    @classmethod
    def parse(cls, text: str) -> Source:
        """Read ``MODEL``, ``MODEL=WEIGHTS``, either with ``@DATA`` behind it.

        Raises UsageError for anything else.
        """
        named, at, data = text.strip().partition("@")
        model, equals, weights = named.partition("=")
        if not model or (equals and not weights) or (at and not data):
            raise UsageError(
                f"cannot read the network {text.strip()!r}",
                "write MODEL=WEIGHTS or MODEL=WEIGHTS@DATA or the directory of a run that trained"
                " it; commas join several",
            )
        return cls(model, weights or None, data or None)


@dataclass(frozen=True, kw_only=True)
class TrainPolicyConfig(RunConfig):
    """Train one policy on several networks and budgets, for networks it has never seen."""

    command: ClassVar[str] = "train-policy"

    models: Annotated[str, tyro.conf.arg(metavar="A,B,C")]
    """Networks: MODEL=WEIGHTS, MODEL=WEIGHTS@DATA, or the directory of a run of autoprune train."""
    budgets: Annotated[str, tyro.conf.arg(metavar="LOW..HIGH")] = "0.3..0.8"
    """Fractions of FLOPs, or of another cost as in 0.4..0.9params; commas join several ranges."""
    data: Spec = "digits"
    """For networks that name none: digits, a directory, a hub name, or file.py:function."""
    resize: Resize = None
    task: TaskSpec = "classification"
    agent: LearnerName = "ppo"
    ranking: RankingName = "regression"
    evaluations: int = 100
    """Plans to try, shared by all networks; 0 learns from the error curves alone."""
    align: Align = None
    seed: Seed = 0
    device: Device = "auto"
    trust_code: TrustCode = field(default=False, metadata=OUTSIDE)

    def __post_init__(self) -> None:
        check_numbers(self, evaluations=0, align=1, seed=0, resize=1)
        super().__post_init__()
        _ = self.sources, self.ranges

    @property
    def sources(self) -> tuple[Source, ...]:
        """The networks; raises UsageError if one is malformed or stands there twice."""
        found = tuple(map(Source.parse, self.models.split(",")))
        for item in found:
            if found.count(item) > 1:
                raise UsageError(f"--models names {item.model} twice", "once is enough")
        return found

    @property
    def ranges(self) -> tuple[tuple[float, float, str], ...]:
        """Least fraction, most fraction and unit of each range; raises UsageError for others."""
        return tuple(map(_range, self.budgets.split(",")))

    @property
    def grid(self) -> tuple[str, ...]:
        """The budgets that are trained on: ``STEPS`` evenly over every range."""
        return tuple(
            f"{low + (high - low) * step / (STEPS - 1):.4g}{unit}"
            for low, high, unit in self.ranges
            for step in range(STEPS)
        )

    @property
    def between(self) -> tuple[str, ...]:
        """The budgets halfway between neighbors of the grid: a policy is judged there."""
        return tuple(
            f"{low + (high - low) * (step + 0.5) / (STEPS - 1):.4g}{unit}"
            for low, high, unit in self.ranges
            for step in range(STEPS - 1)
        )

    @property
    def title(self) -> str:
        """Budgets."""
        return f"policy-{slug(self.budgets)}"


def _range(text: str) -> tuple[float, float, str]:
    match = _RANGE.fullmatch(text)
    hint = "write 0.3..0.8, or with a unit as in 0.4..0.9params; commas join several"
    if match is None:
        raise UsageError(f"cannot read the budgets {text.strip()!r}", hint)
    low, high = float(match[1]), float(match[2])
    if not 0 < low < high <= 1:
        raise UsageError(f"the budgets {text.strip()!r} do not rise within 0..1", hint)
    return low, high, match[3] or "flops"
