"""Plot of ``autoprune report --plot``: scores of evaluations or rounds, and units kept."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

from autoprune.commands.report.status import RunStatus
from autoprune.errors import UsageError
from autoprune.foundation.charts import (
    COLORS,
    Curve,
    canvas,
    draw_curves,
    draw_points,
    legend,
    save,
)
from autoprune.foundation.files import writing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TRAININGS = ("train", "finetune")
_ENDINGS = (".png", ".svg")


def draw_status(status: RunStatus, path: Path) -> None:
    """Draw the scores of evaluations or rounds, and the units that the last or best plan keeps.

    Raises UsageError if the run has neither, or for a file that is neither PNG nor SVG.
    """
    if path.suffix not in _ENDINGS:
        raise UsageError(f"cannot draw {path}", f"end it in {' or '.join(_ENDINGS)}")
    figure = status_figure(status)
    with writing(path):
        save(figure, path)


def status_figure(status: RunStatus) -> Figure:
    """Draw a run; raises UsageError as :func:`draw_status` does."""
    chosen = status.rounds[-1] if status.rounds else status.best
    if chosen is None:
        hint = "training.svg in it is its picture" if status.command in TRAININGS else ""
        raise UsageError(f"{status.run} holds no evaluations of plans to draw", hint)
    figure, (left, right) = canvas(columns=2)
    (_draw_rounds if status.rounds else _draw_evaluations)(left, status)
    # A finished run may have chosen another finalist than the first by score, and counts weights
    # where units are several.
    groups = (status.result or {}).get("groups", ())
    kept = {group["name"]: 100 * group["kept"] / group["size"] for group in groups}
    _draw_plan(right, kept or chosen["plan"], "units kept [%]" if groups else "units kept")
    figure.set_figheight(max(figure.get_figheight(), 0.9 + 0.17 * len(chosen["plan"])))
    return figure


def _draw_plan(axes: Axes, kept: Mapping[str, float], label: str) -> None:
    """Draw what stays of every group, the first on top."""
    names = list(kept)[::-1]
    axes.barh(range(len(names)), [kept[name] for name in names], color=COLORS[0], height=0.7)
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.grid(visible=False, axis="y")
    axes.margins(y=0.01)
    axes.set(title="plan", xlabel=label)
    axes.set_xlim(0, 100 if label.endswith("[%]") else None)


def _draw_evaluations(axes: Axes, status: RunStatus) -> None:
    scores = [100 * float(record["score"]) for record in status.plans]
    numbers = list(range(1, len(scores) + 1))
    draw_points(axes, {"evaluated plan": (numbers, scores, 5)}, low_is_bad=True)
    best = Curve(numbers, list(accumulate(scores, max)))
    draw_curves(axes, {"best so far": best}, steps=True)
    legend(axes)
    axes.set(title="search", xlabel="evaluations", ylabel="score, search split [%]")


def _draw_rounds(axes: Axes, status: RunStatus) -> None:
    numbers = list(range(1, len(status.rounds) + 1))
    curves = {
        label: Curve(numbers, [100 * float(record[name]) for record in status.rounds])
        for label, name in (("pruned", "pruned"), ("fine-tuned", "recovered"))
    }
    draw_curves(axes, curves, markers=True)
    axes.set_xticks(numbers)
    axes.set(title="rounds", xlabel="rounds", ylabel="score, search split [%]")
