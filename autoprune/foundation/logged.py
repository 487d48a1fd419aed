"""Progress of calls from Python: shown where somebody looks, and logged by ``autoprune``."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console

from autoprune.foundation.progress import Phase, Progress, Silent
from autoprune.foundation.terminal import Terminal, duration

LOGGER: Final = logging.getLogger("autoprune")
"""Logger of calls from Python: notes and finished phases at level INFO."""

LOGGER.addHandler(logging.NullHandler())


def progress_of(wanted: bool | Progress | None) -> Progress:
    """Return the progress that a caller asks for.

    True: shown in a terminal and in a notebook, and logged. False or None: logged only. Or an
    object.
    """
    if not (wanted is None or isinstance(wanted, bool)):
        return wanted
    console = Console(stderr=True)
    seen = wanted and (console.is_jupyter or sys.stderr.isatty())
    return Logged(Terminal(console) if seen else Silent())


class Logged:
    """Progress that is passed on and logged."""

    def __init__(self, shown: Progress) -> None:
        self._shown = shown

    @contextmanager
    def phase(self, name: str, total: int) -> Iterator[Phase]:
        """Show a phase; log its end."""
        began = time.monotonic()
        with self._shown.phase(name, total) as phase:
            yield phase
        LOGGER.info("%s: %d steps in %s", name, total, duration(time.monotonic() - began))

    def note(self, text: str) -> None:
        """Show and log a note."""
        self._shown.note(text)
        LOGGER.info("%s", text)
