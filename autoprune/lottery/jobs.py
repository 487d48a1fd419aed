"""The trainings that a study consists of, what each of them needs, and carrying them out."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from autoprune.artefacts import Artefacts
from autoprune.checkpoint import Checkpoint, FileCheckpoint
from autoprune.files import writing
from autoprune.lottery.ticket import FACTS

if TYPE_CHECKING:
    from autoprune.lottery.outcome import Group

Key = tuple[str, int, str]
"""(name of the mask, seed, kind of training)."""

Record = Mapping[str, Any]
"""What the journal holds of a training: ``mask``, ``seed``, ``kind``, ``remaining``, ``trial``."""

Records = Mapping[Key, Record]

Tick = Callable[[int], None]
"""Told now and then how many iterations more are done."""


class Job(NamedTuple):
    """One training.

    - ``mask``: name of the mask, as ``level-03``; ``kind``: ``ticket``, ``reinit``, ...
    - ``steps``: iterations that it takes.
    - ``needs``: trainings that must have ended before.
    - ``stores``: whether it leaves a ticket in the run directory.
    """

    mask: str
    seed: int
    kind: str
    steps: int
    needs: tuple[Key, ...] = ()
    stores: bool = False

    @property
    def key(self) -> Key:
        """What tells it from all other trainings of its study."""
        return self.mask, self.seed, self.kind


class Study(Protocol):
    """A question, and the trainings that answer it."""

    def jobs(self) -> Sequence[Job]:
        """List the trainings, each after those that it needs."""

    def carry_out(self, job: Job, home: Path, tick: Tick) -> Record:
        """Train; tickets are read from and stored below ``home``."""

    def groups(self, records: Records) -> Sequence[Group]:
        """Say which trainings are compared with each other."""

    def result(self, records: Records) -> dict[str, Any]:
        """Say what the trainings come to."""


def folder(home: Path, seed: int, mask: str) -> Path:
    """Return where the ticket of a seed and mask lies."""
    return home / f"seed-{seed}" / mask


def checkpoint(job: Job, home: Path) -> Checkpoint:
    """Return where the state of a training under way is kept: a directory of its own."""
    with writing(_under_way(job, home)):
        _under_way(job, home).mkdir(parents=True, exist_ok=True)
    return FileCheckpoint(Artefacts(_under_way(job, home)), job.kind)


def clear(job: Job, home: Path) -> None:
    """Remove what was kept of a training that has ended and is in the journal."""
    shutil.rmtree(_under_way(job, home), ignore_errors=True)


def _under_way(job: Job, home: Path) -> Path:
    return folder(home, job.seed, f"{job.mask}.{job.kind}.under-way")


def pending(jobs: Iterable[Job], known: Records, home: Path) -> Iterator[Job]:
    """Yield the jobs that have not ended, or whose ticket is gone."""
    for job in jobs:
        lost = job.stores and not (folder(home, job.seed, job.mask) / FACTS).is_file()
        if job.key not in known or lost:
            yield job
