"""Ownership of a run directory: one writer at a time, no foreign files.

Two locks make one: a file beside the directory (``.NAME.lock``), which holds before there is a
directory, and the directory itself, which is the same whatever links or mounts lead to it. The
operating system releases both when the process that holds them ends, however that happens.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from autoprune.errors import AutopruneError, LockedError, UsageError
from autoprune.foundation.files import TEMPORARY, writing
from autoprune.runs.artifacts import MANIFEST

try:
    import fcntl
except ImportError:  # Windows has other locks, and cannot open directories
    fcntl = None  # type: ignore[assignment]

OURS = ("config.json", MANIFEST)
"""Files of which every run has at least one."""

_held: dict[Path, RunLock] = {}
"""Locks that this process holds of runs it has not opened yet."""


class RunLock:
    """Lock of a run: of its name, and of its directory as soon as there is one."""

    def __init__(self, path: Path) -> None:
        """Take the lock; raises as :func:`hold_lock` does."""
        self._path, self.process = path, os.getpid()
        self._directory: int | None = None
        refuse_foreign_files(path, unless=OURS)  # before the lock leaves a file there
        self.file = _lock_file(path)
        with writing(path):
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self._name = FileLock(self.file)
            try:
                self._name.acquire(timeout=0)
            except Timeout:
                raise _locked(path) from None
        try:
            self.follow()
        except BaseException:
            self._name.release()
            raise

    def follow(self) -> None:
        """Lock the directory that the path leads to now, in place of the one before.

        Raises LockedError while another process has it.
        """
        if fcntl is None or not self._path.is_dir():
            return
        with writing(self._path):
            directory = os.open(self._path, os.O_RDONLY)
        before = self._directory
        if before is not None and os.path.samestat(os.fstat(before), os.fstat(directory)):
            os.close(directory)
            return
        try:
            fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(directory)
            raise _locked(self._path) from None
        except OSError:  # some file systems cannot lock directories
            os.close(directory)
            return
        self._directory = directory
        if before is not None:
            os.close(before)

    def release(self) -> None:
        """Release the lock, unless this process is only a fork of the one that took it."""
        if os.getpid() != self.process:
            return
        if self._directory is not None:
            os.close(self._directory)
            self._directory = None
        self._name.release()


def real_directory(path: Path) -> Path:
    """Return the directory that a path leads to through links; without links, the path as it is."""
    real = Path(os.path.realpath(path))
    return path if real == Path(os.path.abspath(path)) else real


@contextmanager
def hold_lock(path: Path) -> Iterator[None]:
    """Hold the lock of a run inside the block; opening the run takes the lock over.

    Of two commands that start at the same time, the second is thus refused immediately, not after
    loading its data. If no run is created, nothing is left. Raises LockedError while another
    process has the lock, UsageError for a directory that is no run.
    """
    refuse_dangling(path)
    path = real_directory(path)
    made = [folder for folder in path.parents if not folder.exists()]
    held = RunLock(path)
    _held[held.file] = held
    try:
        yield
    finally:
        lock = _held.pop(held.file, None)
        if lock is not None:
            if not path.exists():
                lock.file.unlink(missing_ok=True)
            lock.release()
        with suppress(OSError):  # not empty
            for folder in made:
                folder.rmdir()


def take_lock(path: Path) -> RunLock:
    """Return the lock of a run: the one this process holds, or else a new one.

    Raises as :func:`hold_lock` does.
    """
    held = _held.pop(_lock_file(path), None)
    if held is not None:
        refuse_fork(held.process)
    return held or RunLock(path)


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


def refuse_dangling(path: Path) -> None:
    """Raise UsageError for a link that leads nowhere."""
    if path.is_symlink() and not path.exists():
        raise UsageError(
            f"{path} is a link to {os.path.realpath(path)}, which does not exist",
            "make that directory, or name another with --run",
        )


def refuse_fork(process: int) -> None:
    """Raise AutopruneError in a fork of the process of that number: it is a second writer."""
    if os.getpid() != process:
        raise AutopruneError(
            "a fork of the process that writes the run goes on with its work",
            "code that forks must end its child processes itself, with os._exit",
        )


def _locked(path: Path) -> LockedError:
    return LockedError(
        f"another process is writing to {path}",
        "wait for it to end, or name another directory with --run",
    )


def _lock_file(path: Path) -> Path:
    directory = path.resolve()
    return directory.parent / f".{directory.name}.lock"
