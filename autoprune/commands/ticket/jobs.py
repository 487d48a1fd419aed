"""Jobs, the trainings of a study: what each needs and stores, and which are still to be done."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from autoprune.commands.ticket.ticket import FACTS, TRAINED
from autoprune.errors import DamagedError
from autoprune.foundation.files import writing
from autoprune.runs.artifacts import Artifacts, set_aside
from autoprune.training.checkpoint import Checkpoint, FileCheckpoint

Key = tuple[str, int, str]
"""(name of the mask, seed, kind of training)."""

Record = Mapping[str, Any]
"""Record of a training in the journal: ``mask``, ``seed``, ``kind``, ``remaining``, ``trial``."""

Records = Mapping[Key, Record]

Tick = Callable[[int], None]
"""Called now and then with the number of further iterations that are done."""


class Job(NamedTuple):
    """Training of one network.

    - ``mask``: name of the mask, as ``level-03``; ``kind``: ``ticket``, ``reinit``, ...
    - ``steps``: iterations that it takes.
    - ``needs``: trainings that must have ended before.
    - ``stores``: whether it stores a ticket in the run directory, named as its mask.
    - ``draws``: names of further tickets that it stores.
    """

    mask: str
    seed: int
    kind: str
    steps: int
    needs: tuple[Key, ...] = ()
    stores: bool = False
    draws: tuple[str, ...] = ()

    @property
    def key(self) -> Key:
        """Key that no other training of the study has."""
        return self.mask, self.seed, self.kind

    def folders(self, home: Path) -> list[Path]:
        """Return the directories of the tickets that it stores."""
        names = (self.mask, *self.draws) if self.stores else self.draws
        return [folder(home, self.seed, name) for name in names]


def folder(home: Path, seed: int, mask: str) -> Path:
    """Return the directory of the ticket of a seed and mask."""
    return home / f"seed-{seed}" / mask


def checkpoint(job: Job, home: Path) -> Checkpoint:
    """Return the checkpoint of a training under way, in a directory of its own."""
    with writing(_checkpoint_folder(job, home)):
        _checkpoint_folder(job, home).mkdir(parents=True, exist_ok=True)
    return FileCheckpoint(Artifacts(_checkpoint_folder(job, home)), job.kind)


def clear_checkpoint(job: Job, home: Path) -> None:
    """Remove the checkpoint of a training that has ended and is in the journal."""
    shutil.rmtree(_checkpoint_folder(job, home), ignore_errors=True)


def _checkpoint_folder(job: Job, home: Path) -> Path:
    return folder(home, job.seed, f"{job.mask}.{job.kind}.under-way")


def put_damaged_aside(jobs: Iterable[Job], known: Records, home: Path) -> list[Path]:
    """Put damaged tickets and checkpoints aside; return the directories that are lost.

    Trainings are repeatable, and what is lost is trained again.
    """
    ended: dict[Path, list[bool]] = {}
    for job in jobs:
        ended.setdefault(_checkpoint_folder(job, home), [])
        for ticket in job.folders(home):
            ended.setdefault(ticket, []).append(job.key in known)
    damaged = [path for path, writers in ended.items() if not _is_intact(path, writers)]
    for path in damaged:
        if path.exists():
            set_aside(path, "damaged")
    return damaged


def _is_intact(path: Path, ended: Sequence[bool]) -> bool:
    """Whether a directory holds all files of those of its writers that have ``ended``."""
    try:
        artifacts = Artifacts(path)
    except DamagedError:
        return False
    if not any(ended):
        return True
    # A job can be killed between listing a file and naming it; the one that drew the masks wrote
    # all other files.
    missing = set() if all(ended) else {TRAINED}
    return FACTS in artifacts.names and missing.issuperset(artifacts.damaged)


def pending(jobs: Iterable[Job], known: Records, home: Path) -> Iterator[Job]:
    """Yield the jobs that have not ended, or whose tickets are gone."""
    for job in jobs:
        gone = [path for path in job.folders(home) if not (path / FACTS).is_file()]
        if job.key not in known or gone:
            yield job


def damaged_checkpoints(jobs: Iterable[Job], home: Path) -> list[str]:
    """Return the names of missing or damaged checkpoints of trainings under way."""
    return [
        str((path / name).relative_to(home))
        for path in (_checkpoint_folder(job, home) for job in jobs)
        for name in Artifacts(path).damaged
    ]
