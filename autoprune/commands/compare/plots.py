"""Plots of ``autoprune compare``: the searches, the test scores, and scores for budgets."""

from __future__ import annotations

from collections.abc import Sequence
from math import isinf
from typing import TYPE_CHECKING, Final

from autoprune.commands.compare.result import MEASURES, Comparison
from autoprune.foundation.charts import (
    COLORS,
    Curve,
    canvas,
    colors_of,
    draw_curves,
    draw_level,
    legend,
)
from autoprune.foundation.statistics import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STATES: Final = {"pruned": MEASURES[1], "fine-tuned": MEASURES[2]}
"""States of a network on the test split, and their measures."""

INTERVAL: Final = "95 % intervals over seeds"


def states(comparison: Comparison) -> dict[str, str]:
    """Return the states that were measured: fine-tuned ones only where there was fine-tuning."""
    return STATES if comparison.finetune_epochs else {"pruned": STATES["pruned"]}


def course(comparison: Comparison, agent: str) -> Curve:
    """Return the best score so far, in percent, by evaluations: means with their intervals.

    Two seeds have none to draw: Student's t of one degree of freedom, 12.7, would squash the means.
    """
    found = comparison.curve(agent)
    edges = band(found) if seeds(comparison) > 2 else ()
    return Curve(range(1, len(found) + 1), [100 * item.mean for item in found], *edges)


def seeds(comparison: Comparison) -> int:
    """Return how many seeds every searcher had."""
    return len(next(iter(comparison.trials[comparison.budget].values())))


def search_figure(comparison: Comparison) -> Figure:
    """Draw the best score so far against evaluations, and the test scores."""
    agents = list(comparison.trials[comparison.budget])
    figure, (left, right) = canvas(1, 2)
    curves = {agent: course(comparison, agent) for agent in agents}
    draw_curves(left, curves, colors=colors_of(agents), steps=True)
    count = seeds(comparison)
    left.set(
        title=f"best so far, mean of {count} seed{'s' * (count > 1)}",
        xlabel="evaluations",
        ylabel=f"{comparison.metric}, search split [%]",
    )
    _draw_scores(right, comparison, agents)
    return figure


def _draw_scores(axes: Axes, comparison: Comparison, agents: Sequence[str]) -> None:
    """Draw a point for each searcher and state, with its interval: points need no zero."""
    shown = states(comparison)
    for place, (state, measure) in enumerate(shown.items()):
        found = [comparison.estimate(comparison.budget, agent, measure) for agent in agents]
        shift = 0.24 * (place - (len(shown) - 1) / 2)
        axes.errorbar(
            [at + shift for at in range(len(agents))],
            [100 * item.mean for item in found],
            [0.0 if isinf(item.margin) else 100 * item.margin for item in found],
            fmt="o" if place else "s",
            color=COLORS[0] if place else COLORS[5],
            label=state,
            capsize=3,
            ms=5,
        )
    draw_level(axes, "dense", 100 * comparison.base)
    axes.set_xticks(range(len(agents)), agents)
    axes.set(
        title=f"test split, budget {comparison.budget}",
        ylabel=f"{comparison.metric} [%]",
    )
    legend(axes)


def budgets_figure(comparison: Comparison) -> Figure:
    """Draw accuracy against budget, before and after fine-tuning: the Pareto fronts."""
    shown = states(comparison)
    figure, places = canvas(1, len(shown))
    agents = list(comparison.trials[comparison.budget])
    for axes, (state, measure) in zip(places, shown.items(), strict=True):
        curves = {
            agent: Curve(
                [100 * share for share, _ in found],
                [100 * item.mean for _, item in found],
                *band([item for _, item in found]),
            )
            for agent in agents
            for found in [by_budget(comparison, agent, measure)]
        }
        draw_curves(axes, curves, markers=True, colors=colors_of(agents))
        draw_level(axes, "dense", 100 * comparison.base)
        legend(axes)
        axes.set(
            title=f"{state}, test split",
            xlabel="budget, part of the dense cost [%]",
            ylabel=f"{comparison.metric} [%]",
        )
    return figure


def by_budget(comparison: Comparison, agent: str, measure: str) -> list[tuple[float, Estimate]]:
    """Return the part of the dense cost that each budget allows, ascending, and the measure."""
    shares = sorted((share, budget) for budget, share in comparison.fractions.items())
    return [(share, comparison.estimate(budget, agent, measure)) for share, budget in shares]


def band(found: Sequence[Estimate]) -> tuple[list[float], list[float]] | tuple[()]:
    """Bound the intervals, in percent; nothing if one seed leaves them open."""
    if any(isinf(item.margin) for item in found):
        return ()
    low, high = ([100 * (e.mean + way * e.margin) for e in found] for way in (-1, 1))
    return [max(value, 0.0) for value in low], [min(value, 100.0) for value in high]
