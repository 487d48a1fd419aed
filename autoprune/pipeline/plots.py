"""Plots of a result: the search, the plan, and what it costs for its score."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
from typing import TYPE_CHECKING

from autoprune.errors import UsageError
from autoprune.foundation.charts import (
    COLORS,
    DENSE,
    Curve,
    canvas,
    draw_curves,
    draw_points,
    legend,
)
from autoprune.pipeline.result import Result
from autoprune.pipeline.trials import records_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Point = tuple[float, float]
"""Cost and score."""


def figures(result: Result) -> dict[str, Callable[[Result], Figure]]:
    """Return the plots that a result has, by name."""
    searched = {"search": search_figure} if records_of(result.run) else {}
    return {**searched, "plan": plan_figure, "pareto": pareto_figure}


def search_figure(result: Result) -> Figure:
    """Draw the loss of every evaluation, the least so far, and the losses it is held against."""
    found = [one for one in records_of(result.run) if not one["failed"]]
    if not found:
        raise UsageError("the run holds no evaluations to draw", "plot_plan() needs none")
    numbers, losses = [one["number"] for one in found], [one["loss"] for one in found]
    figure, (axes,) = canvas()
    known = {name: found.loss for name, found in result.references.items()}
    levels = {
        name: (known[name], at) for name, at in (("uniform", 1), ("dense", DENSE)) if name in known
    }
    plans = {"evaluated plan": (numbers, losses, 5)}
    draw_points(axes, plans, low_is_bad=False, levels=levels)
    least = Curve(numbers, list(accumulate(losses, min)))
    draw_curves(axes, {"least so far": least}, steps=True)
    legend(axes)
    axes.set(title=f"search, {_what(result)}", xlabel="evaluations", ylabel="loss, search split")
    return figure


def plan_figure(result: Result) -> Figure:
    """Draw the part of every group that is kept, on a line for each group, whose names are read."""
    groups = result.groups[::-1]
    figure, (axes,) = canvas()
    figure.set_figheight(max(1.6, 0.9 + 0.17 * len(groups)))
    kept = [100 * group.kept / group.size for group in groups]
    axes.barh(range(len(kept)), [100] * len(kept), color="#E6E9ED", height=0.7, label="removed")
    axes.barh(range(len(kept)), kept, color=COLORS[0], height=0.7, label="kept")
    axes.set_yticks(range(len(kept)), [group.name for group in groups], fontsize=7)
    axes.grid(visible=False, axis="y")
    axes.set(title=f"plan, {_what(result)}", xlabel="units kept [%]", xlim=(0, 100))
    axes.margins(y=0.01)
    return figure


def pareto_figure(result: Result) -> Figure:
    """Draw the score over the MACs of all networks measured, and the front of the best."""
    points = {name: (100 * x, 100 * y) for name, (x, y) in measured(result).items()}
    figure, (axes,) = canvas()
    shown = {
        name: ([x], [y], place)
        for (name, (x, y)), place in zip(points.items(), PLACES, strict=False)
    }
    draw_points(axes, shown, low_is_bad=True)
    costs, scores = zip(*front(list(points.values())), strict=True)
    axes.step((*costs, 100), (*scores, scores[-1]), where="post", color=COLORS[7], lw=1)
    legend(axes)
    axes.set(
        title=f"score for its cost, {_what(result)}",
        xlabel="MACs left [% of dense]",
        ylabel=f"{result.metric}, test split [%]",
    )
    return figure


PLACES = (DENSE, 5, 0, 4, 1, 2, 3)
"""Colors of the networks measured: of dense, pruned, fine-tuned, and others'."""


def _what(result: Result) -> str:
    return f"{result.network} at {result.budget}"


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
