"""Plots in one house style, drawn without a screen and without pyplot's global state.

matplotlib takes a second to import, so it is imported when something is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from statistics import quantiles
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLORS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Colors of Okabe and Ito 2008, which color-blind readers can distinguish; used in this order."""

_STYLE: Final[Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "svg.hashsalt": "autoprune",  # the same plot is the same file
}


@dataclass(frozen=True)
class Curve:
    """One line of a plot: ``low`` and ``high`` bound the band or the error bars around ``y``."""

    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()


def roof(losses: Sequence[float]) -> float:
    """Return the height above which losses are outliers that would squash all others.

    Tukey's outer fence (1977): three times the middle half's width above it; infinity where that
    leaves nothing out.
    """
    if len(losses) < 4:
        return inf
    low, _, high = quantiles(losses, n=4, method="inclusive")
    fence = high + 3 * (high - low)
    inside = [loss for loss in losses if loss <= fence]
    return max(inside) if len(inside) < len(losses) else inf


def canvas(rows: int = 1, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """Return a figure with ``rows`` x ``columns`` plots, and the plots row by row."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(_STYLE):
        figure = Figure(figsize=(5.2 * columns, 3.4 * rows), layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False)
    return figure, list(grid.flat)


def draw_curves(axes: Axes, curves: Mapping[str, Curve], *, markers: bool = False) -> None:
    """Draw named curves: with markers and error bars, or as lines with bands."""
    for index, (name, curve) in enumerate(curves.items()):
        color = COLORS[index % len(COLORS)]
        if markers and curve.low:
            below = [y - low for y, low in zip(curve.y, curve.low, strict=True)]
            above = [high - y for y, high in zip(curve.y, curve.high, strict=True)]
            axes.errorbar(
                curve.x,
                curve.y,
                (below, above),
                color=color,
                label=name,
                marker="o",
                ms=3,
                lw=1.3,
                capsize=2,
            )
            continue
        axes.plot(
            curve.x, curve.y, color=color, label=name, lw=1.5, marker="o" if markers else "", ms=3
        )
        if curve.low:
            axes.fill_between(curve.x, curve.low, curve.high, color=color, alpha=0.15, lw=0)
    if len(curves) > 1:
        axes.legend(fontsize=8)


def draw_bars(axes: Axes, labels: Sequence[str], series: Mapping[str, Sequence[float]]) -> None:
    """Draw one group of bars per label, one bar of it per series, each with its figure on top."""
    width = 0.8 / len(series)
    for index, (name, values) in enumerate(series.items()):
        places = [at + (index - (len(series) - 1) / 2) * width for at in range(len(labels))]
        bars = axes.bar(places, values, width * 0.95, label=name, color=COLORS[index])
        axes.bar_label(bars, fmt="%.3g", fontsize=7, padding=1)
    axes.set_xticks(range(len(labels)), labels)
    axes.grid(visible=False, axis="x")
    if len(series) > 1:
        axes.legend(fontsize=8)


def save(figure: Figure, path: Path) -> None:
    """Write a figure as ``path`` ends (``.png``, ``.svg``); the same plot is the same file."""
    from matplotlib import rc_context

    undated = {"Date": None} if path.suffix == ".svg" else {"Software": None}
    with rc_context(_STYLE):
        figure.savefig(path, dpi=150, metadata=undated)
