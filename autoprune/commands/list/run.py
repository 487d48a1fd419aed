"""Entry of ``autoprune list``: reads a few facts of every run, without locks or changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

from autoprune.commands.list.config import ListConfig
from autoprune.errors import DamagedError, UsageError
from autoprune.foundation.files import read_json
from autoprune.foundation.progress import Progress
from autoprune.runs.run import CONFIG, RESULT

ASKED: Final = ("model", "network", "data", "budget", "agent", "heuristic")
"""Options that tell runs apart, as far as a command has them."""

UNREADABLE: Final = (
    *(DamagedError, OSError, LookupError),
    *(TypeError, ValueError, AttributeError, ArithmeticError),
)
"""What reading the files of a stranger may raise."""


@dataclass(frozen=True)
class Listed:
    """A run: what was asked, and its score in [0, 1] if it has come to one.

    ``state`` is ``damaged`` where its files cannot be read. ``macs_left``: the part of the dense
    network's that the pruned one has.
    """

    run: str
    command: str
    asked: str
    state: Literal["finished", "unfinished", "damaged"]
    score: float | None = None
    macs_left: float | None = None


@dataclass(frozen=True)
class Listing:
    """Runs of a directory, the latest first."""

    place: str
    runs: tuple[Listed, ...]

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able object."""
        return {"in": self.place, "runs": [asdict(run) for run in self.runs]}


def run_list(config: ListConfig, progress: Progress) -> Listing:
    """Carry out ``autoprune list``; raises UsageError if there is no such directory."""
    del progress
    place = Path(config.directory_of_runs)
    if not place.is_dir():
        hint = "runs go to logs/ in the directory in which a command is started; --in names another"
        raise UsageError(f"there is no directory {place}", hint)
    try:
        found = sorted(_runs(place), reverse=True)
    except OSError as error:
        raise UsageError(f"cannot read {place}: {error.strerror}", "--in names another") from None
    return Listing(str(place), tuple(_listed(run) for _, run in found))


def _runs(place: Path) -> Iterator[tuple[int, Path]]:
    """Yield when it was begun or ended, and the directory, of every run, the place included."""
    for path in (place, *place.iterdir()):
        with suppress(OSError):  # what we may not look into, or is gone by now, is no run of ours
            if (path / CONFIG).is_file():
                files = [path / name for name in (CONFIG, RESULT)]
                yield max(file.stat().st_mtime_ns for file in files if file.exists()), path


def _listed(run: Path) -> Listed:
    try:
        meta = read_json(run / CONFIG)
        result = read_json(run / RESULT) if (run / RESULT).exists() else None
        config = meta["config"]
        asked = [str(config[name]) for name in ASKED if config.get(name)]
        score, left = (None, None) if result is None else (_score(result), _macs_left(result))
    except UNREADABLE:
        return Listed(str(run), "", "", "damaged")
    state: Literal["finished", "unfinished"] = "unfinished" if result is None else "finished"
    return Listed(str(run), str(meta["command"]), " ".join(asked), state, score, left)


def _score(result: Mapping[str, Any]) -> float | None:
    """Return the score of the network that a command came to; comparisons have several."""
    found = result.get("recovered", result).get("accuracy")
    return None if found is None else float(found)


def _macs_left(result: Mapping[str, Any]) -> float | None:
    if "recovered" not in result:
        return None
    return float(result["recovered"]["macs"]) / max(float(result["base"]["macs"]), 1.0)
