"""How a run stands, read from its directory without a lock and without changing anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoprune.errors import DamagedError, UsageError
from autoprune.foundation.charts import COLORS, Curve, canvas, draw_curves, save
from autoprune.foundation.files import writing
from autoprune.runs.artifacts import Artifacts
from autoprune.runs.journal import read_journal
from autoprune.runs.run import CONFIG, JOURNAL, RESULT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TRAININGS = ("train", "finetune")
_ENDINGS = (".png", ".svg")


@dataclass(frozen=True)
class RunStatus:
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
    def rounds(self) -> list[Mapping[str, Any]]:
        """Records of the journal that are rounds of a schedule, in order."""
        return [record for record in self.records if "recovered" in record]

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


def read_status(path: Path) -> RunStatus:
    """Read a run directory.

    Raises UsageError if it is none, DamagedError if a file of it is not what was written.
    """
    if not (path / CONFIG).is_file():
        raise UsageError(
            f"{path} is not a run of autoprune: it has no {CONFIG}",
            "name the directory that a command printed as its run",
        )
    artifacts = Artifacts(path)
    meta = artifacts.json(CONFIG)
    result = artifacts.json(RESULT) if RESULT in artifacts.names else None
    records = tuple(read_journal(path / JOURNAL))
    with as_written(path):
        command, config = meta["command"], dict(meta["config"])
        return RunStatus(path, str(command), config, records, result and dict(result))


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


def draw_status(status: RunStatus, path: Path) -> None:
    """Draw the scores of evaluations or of rounds, and what each group of the last or best keeps.

    Raises UsageError if the run has neither, or for a file that is neither PNG nor SVG.
    """
    if path.suffix not in _ENDINGS:
        raise UsageError(f"cannot draw {path}", f"end it in {' or '.join(_ENDINGS)}")
    chosen = status.rounds[-1] if status.rounds else status.best
    if chosen is None:
        hint = "training.svg in it is its picture" if status.command in TRAININGS else ""
        raise UsageError(f"{status.run} holds no evaluations of plans to draw", hint)
    figure, (left, right) = canvas(columns=2)
    (_draw_rounds if status.rounds else _draw_evaluations)(left, status)
    left.set(ylabel="score on the search split")
    # A finished run may have chosen another finalist than the first by score, and counts weights
    # where units are several.
    groups = (status.result or {}).get("groups", ())
    shares = {item["name"]: item["kept"] / item["size"] for item in groups} or chosen["plan"]
    right.bar(range(len(shares)), list(shares.values()), color=COLORS[0], width=0.8)
    right.set_xticks(range(len(shares)), list(shares), rotation=90, fontsize=6)
    right.set(ylabel="fraction kept" if groups else "units kept")
    with writing(path):
        save(figure, path)


def _draw_evaluations(axes: Axes, status: RunStatus) -> None:
    scores = [float(record["score"]) for record in status.plans]
    numbers = list(range(1, len(scores) + 1))
    axes.scatter(numbers, scores, s=8, color=COLORS[5], label="evaluation")
    draw_curves(axes, {"best so far": Curve(numbers, list(accumulate(scores, max)))})
    axes.legend(fontsize=8)
    axes.set(xlabel="evaluations")


def _draw_rounds(axes: Axes, status: RunStatus) -> None:
    numbers = list(range(1, len(status.rounds) + 1))
    curves = {
        label: Curve(numbers, [float(record[name]) for record in status.rounds])
        for label, name in (("pruned", "pruned"), ("fine-tuned", "recovered"))
    }
    draw_curves(axes, curves, markers=True)
    axes.set_xticks(numbers)
    axes.set(xlabel="rounds")
