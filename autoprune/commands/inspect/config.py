"""Configuration of ``autoprune inspect``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from autoprune.foundation.config import Config, check_numbers, named_model
from autoprune.foundation.options import (
    Debug,
    Json,
    Model,
    OutputNames,
    Resize,
    SizeNames,
    Spec,
    Weights,
)
from autoprune.foundation.schema import OUTSIDE


@dataclass(frozen=True, kw_only=True)
class InspectConfig(Config):
    """Show what can be pruned: groups, sizes, cost shares, and what is pinned and why."""

    command: ClassVar[str] = "inspect"

    model: Model = None
    weights: Weights = None
    data: Spec = "digits"
    """Gives the model its input: digits, a directory, a hub name, or file.py:function."""
    resize: Resize = None
    task: Spec = "classification"
    """What a batch is: classification, or file.py:name."""
    outputs: OutputNames = ()
    sizes: SizeNames = ()
    json: Json = field(default=False, metadata=OUTSIDE)
    debug: Debug = field(default=False, metadata=OUTSIDE)

    def __post_init__(self) -> None:
        object.__setattr__(self, "model", named_model(self.model, self.data))
        check_numbers(self, resize=1)
