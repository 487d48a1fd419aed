"""Result of ``autoprune export``: a file and how far it is from PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from autoprune.commands.export.config import ExportForm
from autoprune.data.split import ImageForm
from autoprune.foundation.schema import encode
from autoprune.pipeline.speeds import Speed

TOLERANCE: Final = 1e-4
"""Largest difference from PyTorch, relative to the largest output, that still counts as equal."""


@dataclass(frozen=True)
class Exported:
    """Exported file that passed its check.

    ``difference`` is the largest absolute difference from PyTorch over all outputs, ``scale`` the
    largest absolute output, ``batches`` the sizes of the batches they were compared on; ``bytes``
    the size on disk. ``opens``: what opens a directory for transformers, and why. ``speeds``: times
    beside the dense network, if that is known; ``slower``: a line on backends where it takes
    longer. ``images``: how an image becomes an input, if the data were images; ``class_names``: the
    classes in the order of the outputs, if they have names.
    """

    path: Path
    form: ExportForm
    bytes: int
    difference: float
    scale: float
    batches: tuple[int, ...]
    opens: str = ""
    speeds: tuple[Speed, ...] = ()
    slower: tuple[str, ...] = ()
    images: ImageForm | None = None
    class_names: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able object."""
        return {
            "path": str(self.path),
            "form": self.form,
            "bytes": self.bytes,
            "max_difference": self.difference,
            "max_output": self.scale,
            "tolerance": TOLERANCE,
            "batches": list(self.batches),
            **({"opens": self.opens} if self.opens else {}),
            "speeds": encode(self.speeds),
            "slower": list(self.slower),
            **({"mean": self.images.mean, "std": self.images.std} if self.images else {}),
            **({"class_names": list(self.class_names)} if self.class_names else {}),
        }
