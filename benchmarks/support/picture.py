"""Draw the README's picture from a finished run: what the command prints, as SVG.

python benchmarks/support/picture.py logs/RUN [--write]
"""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import DEFAULT_TERMINAL_THEME

from autoprune.pipeline.result import Result
from autoprune.pipeline.view import result_view

PICTURE = Path(__file__).parents[2] / "docs" / "search.svg"


def main() -> None:
    """Render the run's result to docs/search.svg, or to standard output."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("run", type=Path)
    options.add_argument("--write", action="store_true", help="store it in docs")
    chosen = options.parse_args()
    data = json.loads((chosen.run / "result.json").read_text(encoding="utf-8"))
    console = Console(record=True, width=82, file=io.StringIO(), force_terminal=True)
    console.print(result_view(Result.from_json(data)))
    title = f"autoprune search --budget {data['budget']}"
    picture = console.export_svg(title=title, theme=DEFAULT_TERMINAL_THEME)
    if chosen.write:
        PICTURE.write_text(picture, encoding="utf-8")
    else:
        print(picture)


if __name__ == "__main__":
    main()
