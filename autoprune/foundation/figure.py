"""Charts of a page as SVG: what is drawn, and where each mark goes.

Colors and fonts are those of the page, so that a chart follows its light or dark setting; its
legend is text of the page, so that it stays readable on a telephone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

WIDTH: Final = 460
HEIGHT: Final = 280
_TOP, _RIGHT, _BOTTOM, _LETTER, _PAD = 30, 14, 44, 8.6, 9

Look = Literal["dots", "steps", "line", "band", "level"]
"""Points, a line that holds until the next point, a line with error bars, one in a band, or one
horizontal line."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Series:
    """Marks of one name: ``color`` is a place in the palette, ``hints`` say what a point is.

    ``low`` and ``high`` bound the bar around each point, or the band around a line or steps.
    """

    name: str
    points: Sequence[Point]
    look: Look = "line"
    color: int = 0
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    hints: Sequence[str] = ()


@dataclass(frozen=True)
class Chart:
    """A chart: ``x`` and ``y`` are labels with their units.

    ``roof`` and ``floor``: what is above or below is drawn at the edge, as an arrow. ``marks``: the
    places of ticks along a logarithmic x that falls; none for a linear one that rises. ``names``:
    what stands at x = 0, 1, ... in place of numbers.
    """

    name: str
    x: str
    y: str
    series: Sequence[Series]
    caption: str = ""
    roof: float = math.inf
    floor: float = -math.inf
    marks: Sequence[float] = ()
    names: Sequence[str] = ()


class Tick(NamedTuple):
    """A tick: where it is, and what it says."""

    at: float
    text: str


class Mark(NamedTuple):
    """A path of the drawing: its classes, its SVG commands, and what it is when pointed at."""

    look: str
    path: str
    hint: str = ""


@dataclass(frozen=True)
class Drawing:
    """A chart with its places, in pixels of a canvas of ``width`` x ``height``."""

    chart: Chart
    left: float
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]
    marks: Sequence[Mark]
    labels: Sequence[Tick]
    width: int = WIDTH
    height: int = HEIGHT
    top: int = _TOP
    right: int = WIDTH - _RIGHT
    bottom: int = HEIGHT - _BOTTOM


def drawing(chart: Chart) -> Drawing:
    """Return where everything of a chart goes; it holds at least one point."""
    across = [math.log(x) if chart.marks else x for x in _xs(chart)]
    if chart.names:
        across = [-0.5, len(chart.names) - 0.5]
    ups = [min(max(y, chart.floor), chart.roof) for y in _ys(chart)]
    y_scale = _Scale.over(ups, HEIGHT - _BOTTOM, _TOP)
    y_ticks = [Tick(y_scale(value), text) for value, text in y_scale.ticks()]
    left = _PAD + _LETTER * max((len(tick.text) for tick in y_ticks), default=1)
    ends = (left + _PAD, WIDTH - _RIGHT - _PAD)
    x_scale = _Scale.over(across, *(reversed(ends) if chart.marks else ends), whole=True)
    if chart.marks:
        x_ticks = [Tick(x_scale(math.log(at)), f"{at:.3g}") for at in chart.marks]
    elif chart.names:
        x_ticks = [Tick(x_scale(float(at)), name) for at, name in enumerate(chart.names)]
    else:
        whole = all(float(x).is_integer() for x in across)  # rounds, epochs: there is no 1.5
        x_ticks = [
            Tick(x_scale(value), f"{value:,.0f}" if whole else text)
            for value, text in x_scale.ticks()
            if not whole or abs(value - round(value)) < 1e-9
        ]
    place = _Place(chart, x_scale, y_scale, (left, WIDTH - _RIGHT))
    lines = [one for one in chart.series if one.low and one.look == "line"]
    marks = [
        mark
        for one in chart.series
        for mark in place.marks(one, _shift(lines.index(one), len(lines)) if one in lines else 0.0)
    ]
    return Drawing(chart, left, x_ticks, y_ticks, marks, list(place.labels()))


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return at most about ``most`` round numbers from ``low`` to ``high``."""
    raw = (high - low) / max(most - 1, 1)
    if not (raw > 0 and math.isfinite(raw)):
        return [low]
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [n * step for n in range(first, math.floor(high / step + 1e-9) + 1)]


class _Scale(NamedTuple):
    """A linear map of values onto pixels."""

    low: float
    high: float
    start: float
    end: float

    @classmethod
    def over(cls, values: list[float], start: float, end: float, *, whole: bool = False) -> _Scale:
        """Return the scale on which the values have some air, unless they take the whole of it."""
        low, high = min(values), max(values)
        if low == high:
            low, high = low - (abs(low) or 1) * 0.05, high + (abs(high) or 1) * 0.05
        air = 0 if whole else 0.06 * (high - low)
        return cls(low - air, high + air, start, end)

    def __call__(self, value: float) -> float:
        part = (value - self.low) / (self.high - self.low)
        return self.start + part * (self.end - self.start)

    def ticks(self) -> list[tuple[float, str]]:
        """Return round values with their texts, all to the same digits."""
        found = ticks(self.low, self.high)
        step = found[1] - found[0] if len(found) > 1 else abs(found[0]) or 1.0
        digits = min(6, max(0, -math.floor(math.log10(step) + 1e-9)))
        return [(value, f"{value:,.{digits}f}") for value in found]


class _Place(NamedTuple):
    """Places of the marks of a chart."""

    chart: Chart
    x: _Scale
    y: _Scale
    ends: tuple[float, float]

    def marks(self, one: Series, shift: float = 0.0) -> Iterator[Mark]:
        """Yield the paths of a series, ``shift`` pixels to the right: what lies behind first."""
        color = f"c{one.color}"
        if one.look == "level":
            height = _number(self.at((1.0, one.points[0][1]))[1])
            yield Mark(f"level {color}", f"M{_number(self.ends[0])} {height}H{self.ends[1]}")
            return
        if one.low and one.look in ("steps", "band"):
            yield Mark(f"band {color}", self._band(one))
        elif one.low:
            for (x, y), low, high in zip(one.points, one.low, one.high, strict=True):
                if not self.outside((x, y)):
                    (at, start), (_, end) = self.at((x, low)), self.at((x, high))
                    path = f"M{_number(at + shift)} {_number(start)}V{_number(end)}"
                    yield Mark(f"error {color}", path)
        if one.look == "dots":
            yield from self._dots(one, color)
            return
        yield Mark(f"line {color}", self._line(one.points, shift, steps=one.look == "steps"))
        if one.low and one.look == "line":
            yield Mark(f"dot {color}", "".join(self._dot(p, shift) for p in one.points))

    def _dots(self, one: Series, color: str) -> Iterator[Mark]:
        out = [point for point in one.points if self.outside(point)]
        if one.hints:
            for point, hint in zip(one.points, one.hints, strict=True):
                if not self.outside(point):
                    yield Mark(f"dot big {color}", self._dot(point), hint)
        elif len(out) < len(one.points):
            inside = (point for point in one.points if not self.outside(point))
            yield Mark(f"dot {color}", "".join(map(self._dot, inside)))
        if out:
            hint = ", ".join(one.hints)
            yield Mark(f"arrow {color}", "".join(map(self._arrow, out)), hint)

    def labels(self) -> Iterator[Tick]:
        """Yield what points say that are below the picture and have a hint."""
        for one in self.chart.series:
            for point, hint in zip(one.points, one.hints, strict=False):
                if point[1] < self.chart.floor:
                    yield Tick(self.at(point)[0], hint)

    def outside(self, point: Point) -> bool:
        """Whether a point is above or below the picture."""
        return not self.chart.floor <= point[1] <= self.chart.roof

    def _arrow(self, point: Point) -> str:
        x = _number(self.at(point)[0] - 4)
        down = point[1] < self.chart.floor
        return f"M{x} {HEIGHT - _BOTTOM - 8}l4 6l4 -6z" if down else f"M{x} {_TOP + 6}l4 -6l4 6z"

    def _dot(self, point: Point, shift: float = 0.0) -> str:
        x, y = self.at(point)
        return f"M{_number(x + shift)} {_number(y)}h0"

    def _line(self, points: Sequence[Point], shift: float = 0.0, *, steps: bool = False) -> str:
        at = [self.at(point) for point in points]
        (x, y), *rest = [(_number(x + shift), _number(y)) for x, y in at]
        return f"M{x} {y}" + "".join(f"H{a}V{b}" if steps else f"L{a} {b}" for a, b in rest)

    def _band(self, one: Series) -> str:
        """Return the outline of a band: its upper edge forward, its lower one back."""
        xs, steps = [x for x, _ in one.points], one.look == "steps"
        upper = self._line(list(zip(xs, one.high, strict=True)), steps=steps)
        lower = [self.at(point) for point in zip(xs, one.low, strict=True)][::-1]
        (x, y), *rest = [(_number(x), _number(y)) for x, y in lower]
        back = "".join(f"V{b}H{a}" if steps else f"L{a} {b}" for a, b in rest)
        return f"{upper}L{x} {y}{back}z"

    def at(self, point: Point) -> tuple[float, float]:
        x = math.log(point[0]) if self.chart.marks else point[0]
        return self.x(x), self.y(min(max(point[1], self.chart.floor), self.chart.roof))


def _shift(place: int, number: int) -> float:
    """Return how far a line lies beside its places, so that its error bars hide no others."""
    return max(-8.0, min(8.0, 4.0 * (place - (number - 1) / 2)))


def _xs(chart: Chart) -> Iterable[float]:
    return [x for one in chart.series if one.look != "level" for x, _ in one.points]


def _ys(chart: Chart) -> Iterable[float]:
    for one in chart.series:
        yield from (y for _, y in one.points)
        yield from (*one.low, *one.high)


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
