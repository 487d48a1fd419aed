"""Parts of tables: headings, columns, bars, formatted numbers."""

from __future__ import annotations

from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

BAR: Final = 18
_WORDS: Final = ("kind", "keep", "share of MACs", "because")


def title(text: str, below: str) -> RenderableType:
    """Return a heading: its text, and below it how the figures were obtained."""
    return Padding(Text.assemble((text, "bold"), "\n", (below, "dim")), (1, 0, 0, 1))


def table_of(first: str, *others: str) -> Table:
    """Return a table whose first column is a name and whose others are mostly figures."""
    table = Table(box=SIMPLE_HEAD, header_style="dim", pad_edge=False, padding=(0, 1))
    table.add_column(first, overflow="fold")
    for name in others:
        table.add_column(name, justify="left" if name in _WORDS else "right", no_wrap=True)
    return table


def bar(fraction: float) -> Table:
    """Return a bar that shows a fraction, with its figure beside it."""
    cell = Table.grid(padding=(0, 1))
    cell.add_column(width=BAR)
    cell.add_column(justify="right", width=5)
    cell.add_row(ProgressBar(total=1.0, completed=fraction, width=BAR), f"{100 * fraction:.0f} %")
    return cell


def warning(text: str) -> RenderableType:
    """Return a line that shows a warning."""
    return Padding(Text.assemble(("warning: ", "yellow"), text), (0, 0, 0, 1))


def count(value: float) -> str:
    """Write a count with three to four digits: ``41.2 M``, ``850``."""
    for factor, unit in ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= factor * 0.9995:
            return f"{_digits(value / factor)}{unit}"
    return f"{value:g}"


def size(value: float) -> str:
    """Write a size in decimal units: ``312 kB``, ``1.09 MB``."""
    return f"{count(value)}B" if value >= 1000 else f"{value:g} B"


def percent(value: float, digits: int = 2) -> str:
    """Write a fraction as ``81.44 %``."""
    return f"{100 * value:.{digits}f} %"


def milliseconds(value: float) -> str:
    """Write a time with three digits."""
    return f"{_digits(value)} ms"


def _digits(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def reading(name: str, value: float) -> str:
    """Show a rate as a percentage, and a perplexity as it is."""
    return f"{value:,.4g}" if name == "perplexity" else percent(value)
