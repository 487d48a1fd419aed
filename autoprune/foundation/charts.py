"""Plots in one house style, drawn without a screen and without pyplot's global state.

matplotlib takes a second to import, so it is imported when something is drawn.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from statistics import quantiles
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLORS: Final = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8B949E"),
)
"""Colors of Okabe and Ito 2008, which color-blind readers can distinguish, in order; and gray."""

DENSE: Final = 6
"""Color of the dense network, in all pictures."""

_NAMED: Final = {
    **{"ddpg": 0, "uniform": 1, "dp": 2, "ppo": 3, "evolution": 4, "greedy": 5, "random": 7},
}

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


def colors_of(names: Iterable[str]) -> dict[str, int]:
    """Return the place in ``COLORS`` of every name: a searcher has one color in all pictures."""
    found = {name: _NAMED[name] for name in names if name in _NAMED}
    free = [place for place in range(len(COLORS)) if place not in (*found.values(), DENSE)]
    others = (name for name in names if name not in _NAMED)
    return found | {name: (free or [7])[at % len(free or [7])] for at, name in enumerate(others)}


def canvas(rows: int = 1, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """Return a figure with ``rows`` x ``columns`` plots, and the plots row by row."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(_STYLE):
        figure = Figure(figsize=(5.2 * columns, 3.4 * rows), layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False)
    return figure, list(grid.flat)


def draw_curves(
    axes: Axes,
    curves: Mapping[str, Curve],
    *,
    markers: bool = False,
    steps: bool = False,
    log: bool = False,
    colors: Mapping[str, int] | None = None,
) -> None:
    """Draw named curves: with markers and error bars, or as lines with bands.

    ``steps``: values that hold until the next one. ``log``: x is logarithmic. ``colors``: places in
    ``COLORS``, in order by default.
    """
    if log:
        axes.set_xscale("log")
    style = "steps-post" if steps else "default"
    for index, (name, curve) in enumerate(curves.items()):
        color = COLORS[(colors or {}).get(name, index % len(COLORS))]
        if markers and curve.low:
            # A mean of equal values may lie a bit's breadth outside them.
            below = [max(0.0, y - low) for y, low in zip(curve.y, curve.low, strict=True)]
            above = [max(0.0, high - y) for y, high in zip(curve.y, curve.high, strict=True)]
            axes.errorbar(
                _beside(curve.x, 0.007 * (index - (len(curves) - 1) / 2), log=log),
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
        mark = "o" if markers or len(curve.x) == 1 else ""
        axes.plot(
            curve.x, curve.y, color=color, label=name, lw=1.5, marker=mark, ms=3, drawstyle=style
        )
        if curve.low:
            axes.fill_between(
                curve.x,
                curve.low,
                curve.high,
                color=color,
                alpha=0.15 if len(curves) < 4 else 0.08,
                lw=0,
                step="post" if steps else None,
            )
    if len(curves) > 1:
        legend(axes)


def _beside(xs: Sequence[float], part: float, *, log: bool) -> list[float]:
    """Return places beside others, by a part of their span, so that no error bar hides another."""
    if log:
        return [x * (max(xs) / min(xs)) ** part for x in xs]
    return [x + part * (max(xs) - min(xs)) for x in xs]


def legend(axes: Axes) -> None:
    """Put the names of what is drawn below the plot, where they hide nothing."""
    names = axes.get_legend_handles_labels()[1]
    columns = min(len(names), 3 if max(map(len, names), default=0) > 14 else 6)
    axes.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, -0.2),
        ncols=columns,
        fontsize=8,
        frameon=False,
        columnspacing=1.2,
        handlelength=1.6,
    )


def draw_level(axes: Axes, name: str, value: float, color: int = DENSE) -> None:
    """Draw a dashed line at a value that others are held against, with its name in the legend."""
    axes.axhline(value, color=COLORS[color], lw=1, ls="--", label=name)


def draw_points(
    axes: Axes,
    points: Mapping[str, tuple[Sequence[float], Sequence[float], int]],
    *,
    low_is_bad: bool,
    levels: Mapping[str, tuple[float, int]] | None = None,
) -> None:
    """Draw named points (x, y, place in ``COLORS``) and lines at levels (y, place).

    Bad outliers would squash all others: they stand as arrows at the edge, and are counted.
    """
    sign = -1.0 if low_is_bad else 1.0
    top = roof([sign * y for _, ys, _ in points.values() for y in ys])
    inside = [y for _, ys, _ in points.values() for y in ys if sign * y <= top]
    inside += [y for y, _ in (levels or {}).values()]
    air = 0.06 * (max(inside) - min(inside)) or 0.01
    low, high = min(inside) - air, max(inside) + air
    for name, (xs, ys, color) in points.items():
        pairs = [(x, y) for x, y in zip(xs, ys, strict=True) if sign * y <= top]
        if pairs:
            size = 9 if len(xs) > 1 else 28
            x, y = _columns(pairs)
            axes.scatter(x, y, s=size, color=COLORS[color], label=name, zorder=3)
        out = [x for x, y in zip(xs, ys, strict=True) if sign * y > top]
        if out:
            text = f"{len(out)} {'below' if low_is_bad else 'above'} the picture"
            text = text if len(xs) > 1 else f"{name}: {ys[0]:.3g}"
            edge, mark = (low, "v") if low_is_bad else (high, "^")
            shade = 7 if len(xs) > 1 else color
            at = [edge] * len(out)
            axes.scatter(
                out, at, s=26, color=COLORS[shade], marker=mark, label=text, clip_on=False, zorder=3
            )
    for name, (level, color) in (levels or {}).items():
        draw_level(axes, name, level, color)
    axes.set_ylim(low, high)


def _columns(pairs: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in pairs], [y for _, y in pairs]


def draw_bars(axes: Axes, labels: Sequence[str], series: Mapping[str, Sequence[float]]) -> None:
    """Draw one group of bars per label, one bar of it per series, each with its figure on top.

    Bars begin at zero: their lengths are what is compared.
    """
    width = 0.8 / len(series)
    for index, (name, values) in enumerate(series.items()):
        places = [at + (index - (len(series) - 1) / 2) * width for at in range(len(labels))]
        bars = axes.bar(places, values, width * 0.95, label=name, color=COLORS[index])
        axes.bar_label(bars, fmt="%.3g", fontsize=7, padding=1)
    axes.set_xticks(range(len(labels)), labels)
    axes.set_ylim(bottom=0)
    axes.grid(visible=False, axis="x")
    if len(series) > 1:
        legend(axes)


def save(figure: Figure, path: Path) -> None:
    """Write a figure as ``path`` ends (``.png``, ``.svg``); the same plot is the same file."""
    from matplotlib import rc_context

    undated = {"Date": None} if path.suffix == ".svg" else {"Software": None}
    with rc_context(_STYLE):
        figure.savefig(path, dpi=150, metadata=undated)
