"""Training inside a run: it reports every moment, and goes on where it was killed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

from torch import Tensor, nn

from autoprune.data import Split
from autoprune.data.task import Task
from autoprune.foundation.progress import Phase, Progress
from autoprune.runs.damage import note_damage
from autoprune.runs.run import Run
from autoprune.training.checkpoint import FileCheckpoint, discard
from autoprune.training.loop import Epoch, FitConfig, fit

_SECONDS_BETWEEN_REPORTS: Final = 0.1
_MEMORY: Final = 0.95
"""How much of the loss that is shown comes from the steps before."""


def done(run: Run, progress: Progress) -> bool:
    """Whether a run is finished and whole; say so, or what of it is made anew.

    What a kill at the very end of a finished run left of its trainings is removed.
    """
    damaged = run.damaged
    if run.finished and not damaged:
        progress.note(f"{run.path} is finished; --fresh starts over")
        discard(run.artifacts)
        return True
    note_damage(progress, damaged)
    return False


def fit_in(
    run: Run,
    progress: Progress,
    name: str,
    model: nn.Module,
    split: Split,
    task: Task,
    config: FitConfig,
    *,
    teacher: nn.Module | None = None,
    masks: Mapping[str, Tensor] | None = None,
    on_epoch: Epoch | None = None,
) -> float:
    """Train ``model`` in place with :func:`autoprune.training.loop.fit`, as part ``name`` of a run.

    A training that was killed goes on from the checkpoint ``name`` of the run, and one that had
    ended returns its weights at once; the run discards its checkpoints when its result is there.
    ``on_epoch`` may be told again of epochs before a kill. Returns the seconds it took, those
    before a kill included as far as they were of use.
    """
    checkpoint = FileCheckpoint(run.artifacts, name)
    with progress.phase(name, config.length(len(split))) as phase:
        fit(
            model,
            split,
            task,
            config,
            teacher=teacher,
            masks=masks,
            on_step=_Reports(phase, config.epoch(len(split))),
            on_epoch=on_epoch,
            checkpoint=checkpoint,
        )
    return checkpoint.seconds


class _Reports:
    """Tells a phase, some times a second, how a training goes."""

    def __init__(self, phase: Phase, size: int) -> None:
        self._phase, self._size = phase, size
        self._told, self._last, self._loss = 0, 0.0, 0.0

    def __call__(self, step: int, total: int, loss: float) -> None:
        """Take note of a step; the interface of ``on_step``."""
        self._loss = _MEMORY * self._loss + (1 - _MEMORY) * loss if self._told else loss
        now = time.monotonic()
        if now - self._last < _SECONDS_BETWEEN_REPORTS and step < total:
            return
        epoch = (step - 1) // self._size + 1
        self._phase.advance(step - self._told, epoch=epoch, loss=self._loss)
        self._told, self._last = step, now
