"""Progress on a console: a live bar on a terminal, a few plain lines elsewhere.

Everything goes to standard error, so that standard output holds the result alone.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn
from rich.progress import Progress as Bars
from rich.text import Text

from autoprune.foundation.plain import plain
from autoprune.foundation.progress import Phase

_PHASES: Final = {
    "hash": ("checking", "MB of data"),
    "decode": ("reading", "images"),
    "listen": ("reading", "sounds"),
    "inspect": ("analyzing", "networks"),
    "train": ("training", "steps"),
    "latency": ("timing", "operations"),
    "rank": ("ranking", "groups"),
    "search": ("searching", "evaluations"),
    "finals": ("finals", "networks"),
    "imitate": ("imitating", "steps"),
    "practice": ("practicing", "rounds"),
    "match": ("matching", "steps"),
    "finetune": ("fine-tuning", "steps"),
    "test": ("testing", "networks"),
    "tickets": ("training", "iterations"),
    "doctor": ("looking at", "packages"),
}
_WHOSE: Final = {
    "finetune-plain": "fine-tuning (uniform + l1)",
    "finetune-dense": "fine-tuning (dense)",
}
"""Phases that have a name of their own: whose fine-tuning it is."""

_PERCENT: Final = ("accuracy", "best", "score")
Clock = Callable[[], float]
"""Seconds from any fixed time."""


@dataclass(frozen=True)
class TerminalConfig:
    """How often progress is written."""

    seconds_between_lines: float = 5.0
    """Least time between two plain lines."""
    seconds_between_marks: float = 1.0
    """Time between two of the marks from which the pace is computed."""
    marks: int = 30
    """Number of marks: the pace is that of about the last half minute."""


DEFAULT: Final = TerminalConfig()


class Terminal:
    """Progress shown on a console: a live bar on a terminal, else a line every few seconds."""

    def __init__(
        self,
        console: Console,
        config: TerminalConfig = DEFAULT,
        clock: Clock = time.monotonic,
    ) -> None:
        self._console, self.config, self._clock = console, config, clock

    @contextmanager
    def phase(self, name: str, total: int) -> Iterator[Phase]:
        """Show a phase while it lasts, and one line about it when it has ended."""
        kind, _, number = name.partition("-")
        label, unit = _PHASES.get(kind, (name, "steps"))
        if number.isdecimal():  # of a schedule
            label = f"{label} (round {number})"
        state = _State(_WHOSE.get(name, label), unit, total, self.config, self._clock)
        show = self._bar if self._console.is_terminal else self._lines
        with show(state) as phase:
            yield phase
        self.note(f"{state.label:<11} {state.summary()}")

    def note(self, text: str) -> None:
        """Print a line."""
        self._console.print(Text(plain(text)), highlight=False)

    @contextmanager
    def _bar(self, state: _State) -> Iterator[Phase]:
        columns = (
            TextColumn("{task.description:<11}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[facts]}", markup=False),
        )
        bars = Bars(
            *columns,
            console=self._console,
            transient=True,
            redirect_stdout=False,
            refresh_per_second=4,
        )
        with bars:
            yield _Bar(state, bars, bars.add_task(state.label, total=state.total, facts=""))

    @contextmanager
    def _lines(self, state: _State) -> Iterator[Phase]:
        self.note(f"{state.label:<11} {state.count(state.total)}...")
        yield _Lines(state, self)


@dataclass
class _State:
    """State of a phase: steps done, facts known, and the recent pace."""

    label: str
    unit: str
    total: int
    config: TerminalConfig
    clock: Clock
    done: int = 0
    facts: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.began = self.clock()
        self.marks: deque[tuple[float, int]] = deque(maxlen=self.config.marks)

    def advance(self, steps: int, facts: dict[str, float]) -> None:
        now = self.clock()
        self.done += steps
        self.facts.update(facts)
        if not self.marks or now - self.marks[-1][0] >= self.config.seconds_between_marks:
            self.marks.append((now, self.done))

    def outlook(self) -> str:
        """Return what is known and the time left, by the pace of the last half minute.

        Work that a continued run finds done, and a machine that is busy for a while, soon stop
        mattering.
        """
        when, done = self.marks[0] if len(self.marks) > 1 else (self.began, 0)
        pace = (self.done - done) / max(self.clock() - when, 1e-9)
        speed = f"{_short(pace)} {self.unit}/s" if self.unit == "steps" else ""
        left = max(self.total - self.done, 0) / pace if pace else 0.0
        return _joined(self._known(), speed, f"{duration(left)} left" if pace else "")

    def summary(self) -> str:
        took = f"{self.count(self.done)}in {duration(self._seconds())}"
        return _joined(took, self._known())

    def count(self, steps: int) -> str:
        return f"{steps} {self.unit} " if self.total > 1 else ""

    def _seconds(self) -> float:
        return self.clock() - self.began

    def _known(self) -> str:
        return ", ".join(f"{name} {_fact(name, value)}" for name, value in self.facts.items())


class _Bar:
    """A phase shown as a live bar."""

    def __init__(self, state: _State, bars: Bars, task: TaskID) -> None:
        self._state, self._bars, self._task = state, bars, task

    def advance(self, steps: int = 1, **facts: float) -> None:
        self._state.advance(steps, facts)
        self._bars.update(self._task, completed=self._state.done, facts=self._state.outlook())


class _Lines:
    """A phase shown as plain lines."""

    def __init__(self, state: _State, out: Terminal) -> None:
        self._state, self._out, self._last = state, out, state.clock()

    def advance(self, steps: int = 1, **facts: float) -> None:
        """Count the steps, and write a line if the last one was a while ago."""
        self._state.advance(steps, facts)
        now, state = self._state.clock(), self._state
        if now - self._last < state.config.seconds_between_lines or state.done >= state.total:
            return
        self._last = now
        self._out.note(f"{state.label:<11} {state.done}/{state.total}, {state.outlook()}")


def _joined(*parts: str) -> str:
    return ", ".join(part for part in parts if part)


def _fact(name: str, value: float) -> str:
    if name in _PERCENT:
        return f"{100 * value:.2f} %"
    return str(value) if isinstance(value, int) else f"{value:.3g}"


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def duration(seconds: float) -> str:
    """Return a duration in short form: ``0.4 s``, ``42 s``, ``3 min 20 s``, ``2 h 5 min``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
