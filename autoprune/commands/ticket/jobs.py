"""Trainings of a study: what each needs, what it leaves, and which are still to be done."""

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
"""What the journal holds of a training: ``mask``, ``seed``, ``kind``, ``remaining``, ``trial``."""

Records = Mapping[Key, Record]

Tick = Callable[[int], None]
"""OnAdvance now and then how many iterations more are done."""


class Job(NamedTuple):
    """One training.

    - ``mask``: name of the mask, as ``level-03``; ``kind``: ``ticket``, ``reinit``, ...
    - ``steps``: iterations that it takes.
    - ``needs``: trainings that must have ended before.
    - ``stores``: whether it leaves a ticket in the run directory, named as its mask.
    - ``draws``: names of further tickets that it leaves.
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
        """What tells it from all other trainings of its study."""
        return self.mask, self.seed, self.kind

    def folders(self, home: Path) -> list[Path]:
        """Say where the tickets lie that it leaves."""
        names = (self.mask, *self.draws) if self.stores else self.draws
        return [folder(home, self.seed, name) for name in names]


def folder(home: Path, seed: int, mask: str) -> Path:
    """Return where the ticket of a seed and mask lies."""
    return home / f"seed-{seed}" / mask


def checkpoint(job: Job, home: Path) -> Checkpoint:
    """Return where the state of a training under way is kept: a directory of its own."""
    with writing(_under_way(job, home)):
        _under_way(job, home).mkdir(parents=True, exist_ok=True)
    return FileCheckpoint(Artifacts(_under_way(job, home)), job.kind)


def clear(job: Job, home: Path) -> None:
    """Remove what was kept of a training that has ended and is in the journal."""
    shutil.rmtree(_under_way(job, home), ignore_errors=True)


def _under_way(job: Job, home: Path) -> Path:
    return folder(home, job.seed, f"{job.mask}.{job.kind}.under-way")


def lost(jobs: Iterable[Job], known: Records, home: Path) -> list[Path]:
    """Put aside what is damaged of tickets and of trainings under way; return what is lost.

    The trainings are repeatable: whatever is lost is made anew.
    """
    ended: dict[Path, list[bool]] = {}
    for job in jobs:
        ended.setdefault(_under_way(job, home), [])
        for place in job.folders(home):
            ended.setdefault(place, []).append(job.key in known)
    found = [place for place, writers in ended.items() if not _sound(place, writers)]
    for place in found:
        if place.exists():
            set_aside(place, "damaged")
    return found


def _sound(place: Path, ended: Sequence[bool]) -> bool:
    """Say whether a directory holds what those of its writers left that have ``ended``."""
    try:
        artifacts = Artifacts(place)
    except DamagedError:
        return False
    if not any(ended):
        return True
    # One is killed between listing a file and naming it; whoever drew the masks wrote all others.
    missing = set() if all(ended) else {TRAINED}
    return FACTS in artifacts.names and missing.issuperset(artifacts.damaged)


def pending(jobs: Iterable[Job], known: Records, home: Path) -> Iterator[Job]:
    """Yield the jobs that have not ended, or whose tickets are gone."""
    for job in jobs:
        gone = [place for place in job.folders(home) if not (place / FACTS).is_file()]
        if job.key not in known or gone:
            yield job


def half_lost(jobs: Iterable[Job], home: Path) -> list[str]:
    """Return the saved states of trainings under way that are missing or damaged."""
    return [
        str((place / name).relative_to(home))
        for place in (_under_way(job, home) for job in jobs)
        for name in Artifacts(place).damaged
    ]
