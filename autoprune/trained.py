"""What a training comes to: ``result.json`` of ``autoprune train`` and ``finetune``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from autoprune.errors import DamagedError
from autoprune.schema import decode_fields, encode_fields

FORMAT = 1


@dataclass(frozen=True)
class Trained:
    """A trained network, measured.

    ``accuracy`` is the task's score in [0, 1] on the test split, which is read once, and ``before``
    that of the weights it began with, None if they were fresh; ``validation`` the score on the
    validation split at the end, ``loss`` the mean training loss of the last epoch. ``macs`` are of
    one sample, ``parameters`` those no mask removes; ``seconds`` those of training, interruptions
    left out; ``other`` what else the task counts on the test split.
    """

    command: str
    network: str
    data: str
    metric: str
    accuracy: float
    before: float | None
    validation: float
    loss: float
    epochs: int
    steps: int
    seconds: float
    seed: int
    macs: int
    parameters: int
    bytes: int
    run: Path
    task: str = "classification"
    other: Mapping[str, float] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able object; format 1."""
        return {"format": FORMAT, **encode_fields(self)}

    @classmethod
    def from_json(cls, data: object) -> Self:
        """Read what ``to_json`` wrote; raise DamagedError if it is anything else."""
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise DamagedError("not a result this version knows", "use the version that wrote it")
        content = {name: value for name, value in data.items() if name != "format"}
        return cls(**decode_fields(cls, content, "the result"))
