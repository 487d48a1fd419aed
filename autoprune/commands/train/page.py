"""Page and picture of ``autoprune train`` and ``autoprune finetune``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from autoprune.commands.train.result import Trained
from autoprune.foundation.charts import Curve, canvas, draw_curves
from autoprune.foundation.config import Config
from autoprune.foundation.figure import Chart, Series
from autoprune.foundation.page import (
    Cell,
    Page,
    Row,
    Section,
    Table,
    asked,
    files_section,
    network_uses,
    page_text,
)
from autoprune.foundation.tables import count, percent, reading, size
from autoprune.foundation.terminal import duration

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def trained_page(result: Trained, epochs: Sequence[Mapping[str, Any]], config: Config) -> str:
    """Return the page of a training; ``epochs``: its journal."""
    run = str(result.run)
    done = "epoch" if result.epochs == 1 else "epochs"
    below = f"autoprune {result.command}, {result.epochs} {done}, seed {result.seed}"
    sections = [
        _result(result),
        Section("Course", "course", charts=_charts(result, epochs)),
        Section("What was asked", "asked", facts=asked(config)),
        files_section(run, network_uses(run, result.run.parent), result.files),
    ]
    return page_text(Page(f"{result.network} on {result.data}", below, sections))


def _result(result: Trained) -> Section:
    scores: list[tuple[str, str, float]] = [("trained, test split", "accuracy", result.accuracy)]
    if result.before is not None:
        scores.insert(0, ("before, test split", "before", result.before))
    scores.append(("at the end, validation split", "validation", result.validation))
    rows = [Row([name, Cell(percent(value), key=key)]) for name, key, value in scores]
    rows += [
        Row([f"{name}, test split", Cell(reading(name, value), key=f"other.{name}")])
        for name, value in result.other.items()
    ]
    kept = {"weights of epoch": str(result.kept_epoch)} if result.kept_epoch else {}
    facts: dict[str, Cell | str] = {
        "MACs per sample": Cell(count(result.macs), key="macs"),
        "parameters": Cell(count(result.parameters), key="parameters"),
        "file": Cell(size(result.bytes), key="bytes"),
        "steps": f"{result.steps:,}",
        "took": Cell(duration(result.seconds), time=True),
        **kept,
    }
    table = Table(["", result.metric], rows)
    return Section("Result", "result", facts=facts, tables=[table], warnings=result.warnings)


def _charts(result: Trained, epochs: Sequence[Mapping[str, Any]]) -> list[Chart]:
    def course(name: str, key: str, color: int, scale: float = 1.0) -> Series:
        points = [(float(one["epoch"]), scale * float(one[key])) for one in epochs]
        return Series(name, points, "line" if len(points) > 1 else "dots", color)

    losses = [course("training", "loss", 1), course("validation", "validation_loss", 0)]
    scores = [course("validation", "validation", 0, 100.0)]
    if result.before is not None:
        scores.append(Series("before, test split", [(1.0, 100 * result.before)], "level", 6))
    return [
        Chart("Loss", "epoch", "loss", losses),
        Chart("Score", "epoch", f"{result.metric} [%]", scores),
    ]


def training_figure(epochs: Sequence[Mapping[str, Any]], metric: str) -> Figure:
    """Draw losses and validation scores by epoch, as ``training.svg`` shows them."""
    numbers = [record["epoch"] for record in epochs]
    figure, (losses, scores) = canvas(columns=2)
    curves = {
        "training": Curve(numbers, [record["loss"] for record in epochs]),
        "validation": Curve(numbers, [record["validation_loss"] for record in epochs]),
    }
    draw_curves(losses, curves, markers=True, colors={"training": 1, "validation": 0})
    losses.set(title="loss", xlabel="epoch", ylabel="loss")
    percents = Curve(numbers, [100 * record["validation"] for record in epochs])
    draw_curves(scores, {"validation": percents}, markers=True)
    scores.set(title=metric, xlabel="epoch", ylabel=f"{metric}, validation split [%]")
    return figure
