"""Training inside a run: it reports its progress and continues from checkpoints."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final, NamedTuple

from torch import Tensor, nn

from autoprune.data import Samples
from autoprune.data.task import Task
from autoprune.foundation.progress import Phase, Progress
from autoprune.runs.damage import note_damage
from autoprune.runs.run import Run
from autoprune.training.checkpoint import FileCheckpoint, discard
from autoprune.training.distributed import Team
from autoprune.training.loop import FitConfig, Lesson, OnEpoch, fit
from autoprune.training.pace import PaceConfig, current_pace
from autoprune.training.selection import Selected, Validate

_MEMORY: Final = 0.95
"""Weight of the earlier steps in the loss that is shown."""


def done(run: Run, progress: Progress) -> bool:
    """Return whether a run is finished and intact; note that, or the files that are recreated.

    Checkpoints that a kill left in a finished run are removed.
    """
    damaged = run.damaged
    if run.finished and not damaged:
        progress.note(f"{run.path} is finished; --fresh starts over")
        discard(run.artifacts)
        return True
    note_damage(progress, damaged)
    return False


class TrainedInRun(NamedTuple):
    """Seconds of a training, those before a kill that led to its state included, and its choice."""

    seconds: float
    selected: Selected | None


def fit_in(
    run: Run,
    progress: Progress,
    name: str,
    model: nn.Module,
    split: Samples,
    task: Task,
    config: FitConfig,
    *,
    teacher: nn.Module | None = None,
    lesson: Lesson | None = None,
    masks: Mapping[str, Tensor] | None = None,
    on_epoch: OnEpoch | None = None,
    validate: Validate | None = None,
    team: Team | None = None,
) -> TrainedInRun:
    """Train ``model`` in place with :func:`autoprune.training.loop.fit`, as part ``name`` of a run.

    A killed training continues from the checkpoint ``name`` of the run; one that had ended returns
    its weights at once. The run discards its checkpoints when it has its result. ``on_epoch`` may
    be called again for epochs before a kill.
    """
    pace = current_pace()
    checkpoint = FileCheckpoint(run.artifacts, name, pace)
    with progress.phase(name, config.length(len(split))) as phase:
        selected = fit(
            model,
            split,
            task,
            config,
            teacher=teacher,
            lesson=lesson,
            masks=masks,
            on_step=_Reports(phase, config.epoch(len(split)), pace),
            on_epoch=on_epoch,
            checkpoint=checkpoint,
            validate=validate,
            team=team,
        )
    return TrainedInRun(checkpoint.seconds, selected)


class _Reports:
    """Reports of a training to a phase, several per second; ``size`` is the steps of an epoch."""

    def __init__(self, phase: Phase, size: int, pace: PaceConfig) -> None:
        self._phase, self._size, self._pace = phase, size, pace
        self._reported, self._last, self._loss = 0, 0.0, 0.0

    def __call__(self, step: int, total: int, loss: float) -> None:
        """Take note of a step; the interface of ``on_step``."""
        self._loss = _MEMORY * self._loss + (1 - _MEMORY) * loss if self._reported else loss
        now = time.monotonic()
        if now - self._last < self._pace.report_every and step < total:
            return
        epoch = (step - 1) // self._size + 1
        self._phase.advance(step - self._reported, epoch=epoch, loss=self._loss)
        self._reported, self._last = step, now
