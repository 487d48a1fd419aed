"""Configuration of ``autoprune profile``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

import tyro

from autoprune.foundation.config import Config, check_numbers, named_model
from autoprune.foundation.options import (
    Backend,
    Debug,
    Device,
    Json,
    Model,
    OutputNames,
    Resize,
    Spec,
    Weights,
)
from autoprune.foundation.schema import OUTSIDE


@dataclass(frozen=True, kw_only=True)
class ProfileConfig(Config):
    """Show where the cost is: MACs, parameters, bytes, energy and time of every layer."""

    command: ClassVar[str] = "profile"

    model: Model = None
    weights: Weights = None
    data: Spec = "digits"
    """Gives the model its input: digits, a directory, a hub name, or file.py:function."""
    resize: Resize = None
    task: Spec = "classification"
    """What a batch is: classification, or file.py:name."""
    energy: Annotated[
        str | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="(default: 45 nm)")
    ] = None
    """Prices of operations and memory accesses in picojoules, as a JSON object."""
    device: Device = "auto"
    backend: Backend = "torch"
    """What time is measured with: torch, onnxruntime (needs the extra [onnx]), or a plug-in."""
    latency_batch: int = 64
    """Samples per forward pass where time is measured."""
    outputs: OutputNames = ()
    json: Json = field(default=False, metadata=OUTSIDE)
    debug: Debug = field(default=False, metadata=OUTSIDE)

    def __post_init__(self) -> None:
        object.__setattr__(self, "model", named_model(self.model, self.data))
        check_numbers(self, latency_batch=1, resize=1)
