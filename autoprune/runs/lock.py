"""Whose a run directory is: nobody else's, and for one process at a time to write to.

The lock lies beside the directory (``.NAME.lock``). The operating system drops it with the process
that holds it, however that ended.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from autoprune.errors import LockedError, UsageError
from autoprune.foundation.files import TEMPORARY, writing
from autoprune.runs.artifacts import MANIFEST

OURS = ("config.json", MANIFEST)
"""Files of which a run has at least one."""

_held: dict[Path, FileLock] = {}
"""Locks of runs that this process has hold_lock and not opened yet."""


@contextmanager
def hold_lock(path: Path) -> Iterator[None]:
    """Hold the lock of a run before anything is known of it; who opens the run takes it over.

    So of two commands that begin at once one is refused at once, not when it has loaded its data.
    Where no run comes of it nothing is left. Raises LockedError while another process has it,
    UsageError for a directory that is no run.
    """
    place, made = _lock_file(path), [folder for folder in path.parents if not folder.exists()]
    _held[place] = _lock(path)
    try:
        yield
    finally:
        lock = _held.pop(place, None)
        if lock is not None:
            if not path.exists():
                place.unlink(missing_ok=True)
            lock.release()
        with suppress(OSError):  # not empty
            for folder in made:
                folder.rmdir()


def take_lock(path: Path) -> FileLock:
    """Return the lock of a run: what this process has hold_lock, or else a new one.

    Raises as :func:`hold_lock` does.
    """
    return _held.pop(_lock_file(path), None) or _lock(path)


def refuse_foreign_files(path: Path, unless: Sequence[str] = ()) -> None:
    """Leave files and directories of somebody else alone; ``unless``: what shows they are ours."""
    if path.exists() and not path.is_dir():
        raise UsageError(f"{path} is a file, not a directory", "name a new directory with --run")
    for item in path.iterdir() if path.exists() else ():
        ours = item.name == MANIFEST or item.name.startswith(TEMPORARY)
        if not ours and not any((path / name).exists() for name in unless):
            raise UsageError(
                f"{path} is not a run of autoprune: it holds {item.name}",
                "name a new directory with --run",
            )


def _lock(path: Path) -> FileLock:
    refuse_foreign_files(path, unless=OURS)  # before the lock leaves a file there
    place = _lock_file(path)
    with writing(path):
        place.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(place)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise LockedError(
                f"another process is writing to {path}",
                "wait for it to end, or name another directory with --run",
            ) from None
    return lock


def _lock_file(path: Path) -> Path:
    place = path.resolve()
    return place.parent / f".{place.name}.lock"
