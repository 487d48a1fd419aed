"""Configuration of ``autoprune export``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import tyro

from autoprune.foundation.config import Config, check_numbers
from autoprune.foundation.options import Debug, FromRun, Given, Json, Resize, TrustCode
from autoprune.foundation.schema import OUTSIDE

ExportForm = Literal["onnx", "pt2", "safetensors", "transformers"]


@dataclass(frozen=True, kw_only=True)
class ExportConfig(Config):
    """Write the network of a run for other programs, checked against PyTorch on real inputs."""

    command: ClassVar[str] = "export"

    run: Given
    """Directory of a finished run."""
    to: ExportForm
    """onnx (needs the extra [onnx]), pt2 (torch.export), safetensors (spec and weights), or
    transformers (a directory that the library opens, of a model of the library)."""
    output: Annotated[
        str | None, tyro.conf.arg(metavar="PATH", help_behavior_hint="(default: inside the run)")
    ] = None
    """File to write; a directory for safetensors and transformers."""
    model: FromRun = None
    """Builds the dense network of a run that was given a live object."""
    data: FromRun = None
    """Real inputs for the check."""
    resize: Resize = None
    task: FromRun = None
    """What a batch is."""
    trust_code: TrustCode = field(default=False, metadata=OUTSIDE)
    json: Json = field(default=False, metadata=OUTSIDE)
    debug: Debug = field(default=False, metadata=OUTSIDE)

    def __post_init__(self) -> None:
        check_numbers(self, resize=1)

    @property
    def path(self) -> Path:
        """Path to write: ``output``, or ``model.onnx``, ``model.pt2``, a directory of that name."""
        if self.output is not None:
            return Path(self.output)
        is_file = self.to in ("onnx", "pt2")
        return Path(self.run) / (f"model.{self.to}" if is_file else self.to)
