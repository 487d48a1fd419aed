"""Result of ``autoprune train`` and ``autoprune finetune``, as in ``result.json``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from autoprune.foundation.schema import Stored


@dataclass(frozen=True)
class Trained(Stored):
    """Scores and costs of a trained network.

    ``accuracy`` is the task's score in [0, 1] on the test split, which is read once, and ``before``
    that of the weights it began with, None if they were fresh; ``validation`` the score on the
    validation split at the end, ``loss`` the mean training loss of the last epoch. ``kept_epoch``
    is the epoch of fine-tuning whose weights are delivered, 0 for those before it. ``macs`` are of
    one sample, ``parameters`` those no mask removes; ``seconds`` those of training, without
    interruptions; ``other`` further scores of the task on the test split.
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
    kept_epoch: int | None = None
    other: Mapping[str, float] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
