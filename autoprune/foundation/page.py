"""Pages of runs: one HTML file that opens anywhere, without a network.

A page is made of sections of tables, charts, notes and bars. All text is escaped: names of layers,
files and networks come from outside. jinja2 is imported when a page is made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from autoprune.foundation.config import Config
from autoprune.foundation.figure import Chart, drawing

if TYPE_CHECKING:
    from jinja2 import Template

REPORT: Final = "report.html"
"""Name of the page in the directory of a run."""

MOST_ROWS: Final = 1000
"""Rows of a table that are shown: a page stays below a megabyte."""


_ALWAYS: Final = (
    *("budget", "model", "data", "evaluations", "finetune_epochs", "epochs", "agents", "seeds"),
    *("seed", "levels", "iterations", "rate"),
)
"""Options that are shown though they are at their default."""


@dataclass(frozen=True)
class Cell:
    """A cell: its text, what part of its bar is full, and whether it is a time.

    Times are the one thing that differs between a run and its repetition. ``key`` names the value
    for programs that read the page, ``wide`` lets words break over lines.
    """

    text: str
    part: float | None = None
    time: bool = False
    wide: bool = False
    key: str = ""


@dataclass(frozen=True)
class Row:
    """A row: its cells, and ``look``: ``own`` for our result, ``gone`` for what was removed."""

    cells: Sequence[Cell | str]
    look: str = ""


@dataclass(frozen=True)
class Table:
    """A table: heads of its columns and rows; ``caption`` says how the figures were obtained."""

    heads: Sequence[str]
    rows: Sequence[Row]
    caption: str = ""


@dataclass(frozen=True)
class Section:
    """A section: what it is about, and what it shows, in this order."""

    title: str
    name: str
    notes: Sequence[str] = ()
    facts: Mapping[str, Cell | str] = field(default_factory=dict)
    charts: Sequence[Chart] = ()
    tables: Sequence[Table] = ()
    warnings: Sequence[Cell | str] = ()


@dataclass(frozen=True)
class Page:
    """A page: a title, a line below it, and sections."""

    title: str
    below: str
    sections: Sequence[Section]


def asked(config: Config) -> dict[str, str]:
    """Return the options that a reader wants to know, and all that are not at their default."""
    return {
        name.replace("_", " "): ", ".join(map(str, value))
        if isinstance(value, list)
        else str(value)
        for name, value in config.chosen(*_ALWAYS).items()
        if value is not None
    }


def files_section(run: str, uses: Mapping[str, str], files: Mapping[str, str]) -> Section:
    """Return the section on the files of a run: how to use them, and what each holds."""
    tables = [
        Table(heads, [Row([name, Cell(what, wide=True)]) for name, what in given.items()])
        for heads, given in ((("to", "type"), uses), (("file", "what it holds"), files))
        if given
    ]
    note = f"Everything is in {run}. The same command shows it again."
    return Section("Files, and how to use them", "files", notes=[note], tables=tables)


def network_uses(run: str, logs: object) -> dict[str, str]:
    """Return what to type to use the network of a run; ``logs``: the directory that it lies in."""
    return {
        "from Python": f'autoprune.load("{run}")',
        "for other programs": f"autoprune export --run {run} --to onnx",
        "train it further": f"autoprune finetune --run {run}",
        "see the curves": f"tensorboard --logdir {logs}",
    }


def page_text(page: Page) -> str:
    """Return a page as HTML; the same page is the same text."""
    return _template().render(page=page, drawing=drawing, cell=_cell, most=MOST_ROWS)


def _cell(content: Cell | str) -> Cell:
    return Cell(content) if isinstance(content, str) else content


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    text = Path(__file__).with_name("page.html").read_text(encoding="utf-8")
    return environment.from_string(text)
