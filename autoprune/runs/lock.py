"""Ownership of a run directory: one writer at a time, no foreign files.

The lock file lies beside the directory (``.NAME.lock``). The operating system releases the lock
when the process that holds it ends, however that happens.
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
"""Files of which every run has at least one."""

_held: dict[Path, FileLock] = {}
"""Locks that this process holds of runs it has not opened yet."""


@contextmanager
def hold_lock(path: Path) -> Iterator[None]:
    """Hold the lock of a run inside the block; opening the run takes the lock over.

    Of two commands that start at the same time, the second is thus refused immediately, not after
    loading its data. If no run is created, nothing is left. Raises LockedError while another
    process has the lock, UsageError for a directory that is no run.
    """
    file, made = _lock_file(path), [folder for folder in path.parents if not folder.exists()]
    _held[file] = _lock(path)
    try:
        yield
    finally:
        lock = _held.pop(file, None)
        if lock is not None:
            if not path.exists():
                file.unlink(missing_ok=True)
            lock.release()
        with suppress(OSError):  # not empty
            for folder in made:
                folder.rmdir()


def take_lock(path: Path) -> FileLock:
    """Return the lock of a run: the one this process holds, or else a new one.

    Raises as :func:`hold_lock` does.
    """
    return _held.pop(_lock_file(path), None) or _lock(path)


def refuse_foreign_files(path: Path, unless: Sequence[str] = ()) -> None:
    """Raise UsageError for a path that is no run: a file, or a directory with foreign files.

    ``unless``: files of which one suffices to show that the directory is a run.
    """
    if path.exists() and not path.is_dir():
        raise UsageError(f"{path} is a file, not a directory", "name a new directory with --run")
    for entry in path.iterdir() if path.exists() else ():
        ours = entry.name == MANIFEST or entry.name.startswith(TEMPORARY)
        if not ours and not any((path / name).exists() for name in unless):
            raise UsageError(
                f"{path} is not a run of autoprune: it holds {entry.name}",
                "name a new directory with --run",
            )


def _lock(path: Path) -> FileLock:
    refuse_foreign_files(path, unless=OURS)  # before the lock leaves a file there
    file = _lock_file(path)
    with writing(path):
        file.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(file)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise LockedError(
                f"another process is writing to {path}",
                "wait for it to end, or name another directory with --run",
            ) from None
    return lock


def _lock_file(path: Path) -> Path:
    directory = path.resolve()
    return directory.parent / f".{directory.name}.lock"
