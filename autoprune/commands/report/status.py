"""Status of a run, read from its directory without a lock and without changing anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoprune.errors import DamagedError, UsageError
from autoprune.runs.artifacts import START_OVER, STATE, Artifacts
from autoprune.runs.journal import load_journal
from autoprune.runs.run import CONFIG, JOURNAL, RESULT


@dataclass(frozen=True)
class RunStatus:
    """Contents of a run directory; ``result`` is None as long as the run has not finished."""

    run: Path
    command: str
    config: Mapping[str, Any]
    records: tuple[Mapping[str, Any], ...]
    result: Mapping[str, Any] | None

    @property
    def plans(self) -> list[Mapping[str, Any]]:
        """Records of the journal that are evaluations of plans, in order."""
        return [record for record in self.records if "plan" in record and "score" in record]

    @property
    def rounds(self) -> list[Mapping[str, Any]]:
        """Records of the journal that are rounds of a schedule, in order."""
        return [record for record in self.records if "recovered" in record]

    @property
    def best(self) -> Mapping[str, Any] | None:
        """Evaluation with the best score, the first of equals; None if there is none."""
        return max(self.plans, key=lambda record: float(record["score"]), default=None)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able object."""
        return {
            "run": str(self.run),
            "command": self.command,
            "config": dict(self.config),
            "finished": self.result is not None,
            "records": len(self.records),
            "best": self.best and dict(self.best),
            "result": self.result and dict(self.result),
        }


def read_status(path: Path) -> RunStatus:
    """Read a run directory.

    Raises UsageError if it is none, DamagedError if a file of it is not what was written.
    """
    if not (path / CONFIG).is_file():
        raise UsageError(
            f"{path} is not a run of autoprune: it has no {CONFIG}",
            "name the directory that a command printed as its run",
        )
    try:
        return _read(path)
    except DamagedError:  # or its writer published something between two looks of ours
        return _read(path)


def _read(path: Path) -> RunStatus:
    artifacts = Artifacts(path)
    meta = artifacts.json(CONFIG)
    for name in artifacts.damaged:
        # Training states are replaced all the time, and shown to nobody.
        if not name.endswith(STATE) and not artifacts.under_way(name):
            artifacts.file(name)
    result = artifacts.json(RESULT) if RESULT in artifacts.names else None
    with as_written(path):
        records = _records(path / JOURNAL, meta)
        command, config = meta["command"], dict(meta["config"])
        return RunStatus(path, str(command), config, records, result and dict(result))


def _records(path: Path, meta: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """Read the journal of a run; what ``Result.save`` wrote has none."""
    journal = load_journal(path)
    if journal.size and journal.run != (meta.get("journal") or None):
        raise DamagedError(f"{path} is the journal of another run", START_OVER)
    least = int(meta.get("records", 0))
    if len(journal.records) < least:
        raise DamagedError(
            f"{path} was cut: it has {len(journal.records)} of {least} records",
            "run the same command again to complete it",
        )
    return tuple(journal.records)


@contextmanager
def as_written(path: Path) -> Iterator[None]:
    """Raise DamagedError if files do not have the shape that autoprune writes.

    A run can come from anybody, with hashes that fit.
    """
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise DamagedError(
            f"the files of {path} do not hold what autoprune writes: {error!r:.80}",
            "another version wrote them, or they were edited",
        ) from error
