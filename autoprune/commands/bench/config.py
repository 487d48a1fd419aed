"""Configuration of ``autoprune bench``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar

import tyro

from autoprune.errors import UsageError
from autoprune.foundation.config import Config, check_numbers
from autoprune.foundation.options import Debug, Device, Json, Seed
from autoprune.foundation.schema import OUTSIDE

FIVE = ("simplenet", "vgg19", "densenet40", "mobilenetv1", "ocrnet")


@dataclass(frozen=True, kw_only=True)
class BenchConfig(Config):
    """Prune networks at one rate: file size, time and accuracy, before and after."""

    command: ClassVar[str] = "bench"

    models: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...")] = FIVE
    """Networks of the zoo."""
    rate: float = 0.5
    """Part of the units to remove."""
    trained: Annotated[
        tuple[str, ...], tyro.conf.arg(metavar="RUN ...", help_behavior_hint="(default: none)")
    ] = ()
    """Runs of autoprune train: their networks are pruned, fine-tuned and scored."""
    finetune_epochs: int = 2
    """Epochs of training after pruning, for the accuracy."""
    finetune_steps: Annotated[
        int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: whole epochs)")
    ] = None
    """Length of that training in steps, in place of epochs."""
    batch: int = 64
    """Samples per forward pass."""
    seed: Seed = 0
    device: Device = "auto"
    output: Annotated[str, tyro.conf.arg(metavar="DIR")] = field(
        default="logs/bench", metadata=OUTSIDE
    )
    """Directory for bench.md, bench.json and bench.svg."""
    json: Json = field(default=False, metadata=OUTSIDE)
    debug: Debug = field(default=False, metadata=OUTSIDE)

    def __post_init__(self) -> None:
        if not 0 < self.rate < 1:
            raise UsageError(f"--rate must lie between 0 and 1, not {self.rate}", "0.5 is half")
        check_numbers(self, batch=1, finetune_epochs=0, seed=0)
        if self.finetune_steps is not None:
            check_numbers(self, finetune_steps=1)
        if not self.models:
            raise UsageError("--models names no network", f"as {' '.join(FIVE)}")

    @property
    def path(self) -> Path:
        """Directory of the files."""
        return Path(self.output)
