"""Journal of a run: append-only, one line of JSON per evaluation, checked and synced.

Format 1: the first line is ``{"check": ..., "format": 1, "journal": NAME, "run": HASH}``, where the
hash says whose journal it is (the first ones do not say); every further line is a record with a
``check`` of its own, the first 16 hexadecimal digits of the sha256 over the check before it and the
record, so that a changed, removed, repeated or reordered line is noticed. Records hold nothing that
differs between a run and its repetition (no clock): journals can be compared.

A line is on the disk when ``append`` returns. Syncing can take longer than an evaluation, so a
search may delay it: a kill still loses no line, and lines lost in a power cut are evaluated again,
to the same bits. Lines that belong to a training's state must not be delayed: later weights differ.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from autoprune.errors import DamagedError
from autoprune.foundation.files import (
    canonical,
    digest,
    open_regular,
    parse,
    sync_directory,
    writing,
)
from autoprune.foundation.signals import shielded
from autoprune.runs.lock import refuse_fork

FORMAT: Final = 1


@dataclass(frozen=True)
class JournalConfig:
    """Limits of a journal: how often it is synced, how long a line may be."""

    sync_share: float = 0.002
    """Part of the time that syncing may take."""
    max_line: int = 2**24
    """Bytes of a line; the longest of ours, of a network with 1,000 groups, has some 50,000."""
    max_size: int = 2**30
    """Bytes of a journal that is read: of 10,000 evaluations of such a network twice over."""


DEFAULT: Final = JournalConfig()

Clock = Callable[[], float]
"""Seconds from any fixed time."""


class Journal:
    """A journal file, open for appending by the one process that holds the run's lock.

    Opening cuts a torn last line (a kill in the middle of a write) and verifies all others. Raises
    DamagedError naming the line if one is not what was written. ``owner`` says whose journal this
    is, once that is known; ``run`` is what an existing one says, None if it does not.
    """

    def __init__(
        self,
        path: Path,
        config: JournalConfig = DEFAULT,
        clock: Clock = time.monotonic,
        owner: Callable[[], str] | None = None,
    ) -> None:
        self.path, self._config, self._clock, self._owner = path, config, clock, owner
        self._process = os.getpid()
        content = load_journal(path, config)
        self.records: list[dict[str, Any]] = content.records
        self.run, self._check, self._size = content.run, content.check, content.size
        self._dirty, self._last, self._took = False, clock(), 0.0
        with writing(path):
            self._stream = path.open("ab", buffering=0)
            self._stream.truncate(self._size)
        if owner is None:
            self._begin()

    def belongs_to(self, run: str | None) -> bool:
        """Say whether this is the journal of a run, which an empty one is of any."""
        return not self._size or self.run == (run or None)

    def append(self, record: Mapping[str, Any], *, later: bool = False) -> None:
        """Add a record; ``later`` syncs only as often as takes ``sync_share`` of the time.

        Raises ValueError for NaN or infinity, AutopruneError when it cannot be written; then the
        file is as it was before.
        """
        self._begin()
        self._write(record)
        self.records.append(dict(record))
        if not later or self._clock() - self._last >= self._took / self._config.sync_share:
            self.sync()

    def close(self) -> None:
        """Sync and close the file; the journal cannot be appended to any more."""
        try:
            self.sync()
        finally:
            self._stream.close()

    def sync(self) -> None:
        """Return when every record is on the disk; raises AutopruneError if that is impossible."""
        if not self._dirty:
            return
        began = self._clock()
        with shielded(), writing(self.path):
            os.fsync(self._stream.fileno())
        self._last = self._clock()
        self._took, self._dirty = self._last - began, False

    def _begin(self) -> None:
        """Write the first line, unless it is there."""
        if self._size:
            return
        owned = {"run": self._owner()} if self._owner else {}
        self._write({"format": FORMAT, "journal": self.path.stem, **owned})
        self.run = owned.get("run")
        self.sync()
        with writing(self.path):
            sync_directory(self.path.parent)

    def _write(self, record: Mapping[str, Any]) -> None:
        refuse_fork(self._process)
        check = _chain(self._check, record)
        line = (canonical({**record, "check": check}) + "\n").encode()
        with shielded(), writing(self.path):
            try:
                if self._stream.write(line) != len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError:
                self._stream.truncate(self._size)
                raise
        self._check, self._size, self._dirty = check, self._size + len(line), True


class JournalContent(NamedTuple):
    """Contents of a journal.

    ``run``: whose it is, None if it does not say. ``check``: the last one. ``size``: of the intact
    part, in bytes.
    """

    records: list[dict[str, Any]]
    run: str | None
    check: str
    size: int


def read_journal(path: Path, config: JournalConfig = DEFAULT) -> list[dict[str, Any]]:
    """Return the records of a journal; see :func:`load_journal`."""
    return load_journal(path, config).records


def load_journal(path: Path, config: JournalConfig = DEFAULT) -> JournalContent:
    """Read a journal without touching it; a torn last line is left out.

    Raises DamagedError naming the line if one is not what was written.
    """
    records: list[dict[str, Any]] = []
    check, size = "", 0
    try:
        stream = open_regular(path)
    except FileNotFoundError:
        return JournalContent(records, None, check, size)
    except DamagedError as error:
        raise DamagedError(str(error), _HINT) from None
    with stream:
        while (line := stream.readline(config.max_line)).endswith(b"\n"):
            what = f"line {len(records) + 1} of {path}"
            record = _line(line[:-1], what)
            plain = {name: value for name, value in record.items() if name != "check"}
            check = _chain(check, plain)
            if canonical({**record, "check": check}).encode() != line[:-1]:
                raise DamagedError(f"{what} is not what was written", _HINT)
            records.append(plain)
            size += len(line)
            if size > config.max_size:
                raise DamagedError(f"{path} is larger than any journal of ours", _HINT)
    if len(line) == config.max_line:
        raise DamagedError(f"line {len(records) + 1} of {path} is too long to be ours", _HINT)
    header = records.pop(0) if records else {"format": FORMAT}
    if header.get("format") != FORMAT:
        raise DamagedError(
            f"{path} has a format this version does not know", "use the version that wrote it"
        )
    run = header.get("run")
    return JournalContent(records, None if run is None else str(run), check, size)


_HINT = "start over with --fresh; the damaged run is kept beside the new one"


def _line(line: bytes, what: str) -> dict[str, Any]:
    try:
        record = parse(line.decode(), what)
    except UnicodeDecodeError:
        raise DamagedError(f"{what} is not text", _HINT) from None
    except DamagedError as error:
        raise DamagedError(str(error), _HINT) from None
    if not isinstance(record, dict):
        raise DamagedError(f"{what} is not a record", _HINT)
    return record


def _chain(previous: str, record: Mapping[str, Any]) -> str:
    return digest(previous + canonical(record))[:16]
