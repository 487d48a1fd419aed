"""How a run stands, read from its directory without a lock and without changing anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from autoprune.artefacts import Artefacts
from autoprune.charts import COLOURS, Curve, canvas, draw_curves, save
from autoprune.errors import DamagedError, UsageError
from autoprune.files import writing
from autoprune.journal import read_journal
from autoprune.run import CONFIG, JOURNAL, RESULT

_ENDINGS = (".png", ".svg")


@dataclass(frozen=True)
class Standing:
    """What a run directory holds: ``result`` is None as long as the run has not finished."""

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
    def best(self) -> Mapping[str, Any] | None:
        """The evaluation with the best score, the first of equals; None if there is none."""
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


def read_standing(path: Path) -> Standing:
    """Read a run directory.

    Raises UsageError if it is none, DamagedError if a file of it is not what was written.
    """
    if not (path / CONFIG).is_file():
        raise UsageError(
            f"{path} is not a run of autoprune: it has no {CONFIG}",
            "name the directory that a command printed as its run",
        )
    artefacts = Artefacts(path)
    meta = artefacts.json(CONFIG)
    result = artefacts.json(RESULT) if RESULT in artefacts.names else None
    records = tuple(read_journal(path / JOURNAL))
    with as_written(path):
        command, config = meta["command"], dict(meta["config"])
        return Standing(path, str(command), config, records, result and dict(result))


@contextmanager
def as_written(path: Path) -> Iterator[None]:
    """Turn the errors of reading what has another shape than ours into one line.

    A run can come from anybody, with hashes that fit.
    """
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise DamagedError(
            f"the files of {path} do not hold what autoprune writes: {error!r:.80}",
            "another version wrote them, or they were edited",
        ) from error


def draw_standing(standing: Standing, path: Path) -> None:
    """Draw the evaluations' scores, the best so far, and what each group of the best plan keeps.

    Raises UsageError if the run has no evaluations, or for a file that is neither PNG nor SVG.
    """
    if path.suffix not in _ENDINGS:
        raise UsageError(f"cannot draw {path}", f"end it in {' or '.join(_ENDINGS)}")
    best = standing.best
    if best is None:
        raise UsageError(f"{standing.run} holds no evaluations of plans to draw")
    scores = [float(record["score"]) for record in standing.plans]
    numbers = range(1, len(scores) + 1)
    figure, (left, right) = canvas(columns=2)
    left.scatter(numbers, scores, s=8, color=COLOURS[5], label="evaluation")
    draw_curves(left, {"best so far": Curve(list(numbers), list(accumulate(scores, max)))})
    left.legend(fontsize=8)
    left.set(xlabel="evaluations", ylabel="score on the search split")
    # A finished run may have chosen another finalist than the first by score.
    plan: Mapping[str, int] = (standing.result or best)["plan"]
    sizes = {item["name"]: item["size"] for item in (standing.result or {}).get("groups", ())}
    shares = [kept / sizes[name] if sizes else kept for name, kept in plan.items()]
    right.bar(range(len(shares)), shares, color=COLOURS[0], width=0.8)
    right.set_xticks(range(len(shares)), list(plan), rotation=90, fontsize=6)
    right.set(ylabel="fraction kept" if sizes else "units kept")
    with writing(path):
        save(figure, path)
