"""Plots of a result: the search, the plan, and what it costs for its score."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

from autoprune.errors import UsageError
from autoprune.foundation.charts import COLORS, Curve, canvas, draw_curves
from autoprune.pipeline.result import Result
from autoprune.pipeline.trials import records_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Point = tuple[float, float]
"""Cost and score."""


def search_figure(result: Result) -> Figure:
    """Draw the loss of every evaluation, and the least so far."""
    found = [one for one in records_of(result.run) if not one["failed"]]
    if not found:
        raise UsageError("the run holds no evaluations to draw", "plot_plan() needs none")
    numbers, losses = [one["number"] for one in found], [one["loss"] for one in found]
    figure, (axes,) = canvas()
    axes.scatter(numbers, losses, s=8, color=COLORS[5], label="evaluation")
    draw_curves(axes, {"least so far": Curve(numbers, list(accumulate(losses, min)))})
    axes.legend(fontsize=8)
    axes.set(xlabel="evaluations", ylabel="loss on the search split")
    return figure


def plan_figure(result: Result) -> Figure:
    """Draw the fraction of every group that is kept."""
    figure, (axes,) = canvas()
    kept = [group.kept / group.size for group in result.groups]
    axes.bar(range(len(kept)), kept, color=COLORS[0], width=0.8)
    names = [group.name for group in result.groups]
    axes.set_xticks(range(len(kept)), names, rotation=90, fontsize=6)
    axes.set(ylabel="fraction kept", ylim=(0, 1))
    return figure


def pareto_figure(result: Result) -> Figure:
    """Draw the score over the MACs of all networks measured, and the front of the best."""
    points = measured(result)
    figure, (axes,) = canvas()
    for place, (name, point) in enumerate(points.items()):
        axes.scatter(*point, s=24, color=COLORS[place % len(COLORS)], label=name, zorder=3)
    costs, scores = zip(*front(list(points.values())), strict=True)
    axes.step(costs, scores, where="post", color=COLORS[6], lw=1, alpha=0.5)
    axes.legend(fontsize=8)
    axes.set(xlabel="MACs, part of the dense network's", ylabel=f"{result.metric}, test split")
    return figure


def measured(result: Result, cost: str = "macs") -> dict[str, Point]:
    """Return a cost, as a part of the dense network's, and score of each network measured.

    ``cost``: a field of :class:`Measure` that counts.
    """
    states = {"dense": result.dense, "pruned": result.pruned}
    if result.matched:
        states["matched"] = result.matched
    if result.finetune_epochs != 0:
        states["fine-tuned"] = result.finetuned
    if result.baseline:
        states[f"{result.baseline.name}, pruned"] = result.baseline.pruned
        if result.finetune_epochs != 0:
            states[f"{result.baseline.name}, fine-tuned"] = result.baseline.finetuned
    whole = max(getattr(result.dense, cost), 1)
    return {name: (getattr(one, cost) / whole, one.score) for name, one in states.items()}


def front(points: list[Point]) -> list[Point]:
    """Return the points that no other one beats in score at no more cost, by cost."""
    best: list[Point] = []
    for cost, score in sorted(points, key=lambda point: (point[0], -point[1])):
        if not best or score > best[-1][1]:
            best.append((cost, score))
    return best
