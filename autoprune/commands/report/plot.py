"""Plot of ``autoprune report --plot``: scores of evaluations or rounds, and units kept."""

from __future__ import annotations

from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

from autoprune.commands.report.status import RunStatus
from autoprune.errors import UsageError
from autoprune.foundation.charts import COLORS, Curve, canvas, draw_curves, save
from autoprune.foundation.files import writing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TRAININGS = ("train", "finetune")
_ENDINGS = (".png", ".svg")


def draw_status(status: RunStatus, path: Path) -> None:
    """Draw the scores of evaluations or rounds, and the units that the last or best plan keeps.

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
    shares = {group["name"]: group["kept"] / group["size"] for group in groups} or chosen["plan"]
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
