"""Signals: the first Ctrl-C or SIGTERM ends the command in order, the second at once.

Nothing has to be saved when a signal comes, since a run is on the disk after every step. Ending in
order means to finish the step, release the lock and say how to continue.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

INTERRUPTED: Final = 130
"""Exit code of a command that a signal ended."""

_CAUGHT: Final = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """Handler of the signals inside a block; ``came`` is True from the first signal on."""

    def __init__(self) -> None:
        self.came = False
        self._shields = 0
        self._due = False

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Raise KeyboardInterrupt; end the process at the second signal."""
        if self.came:
            os._exit(INTERRUPTED)
        self.came = self._due = True
        self._interrupt()

    def raise_shield(self) -> None:
        """Delay the interrupt until the shield is lowered."""
        self._shields += 1

    def lower_shield(self) -> None:
        """Raise the interrupt that was delayed, if there is one."""
        self._shields -= 1
        self._interrupt()

    def _interrupt(self) -> None:
        if self._due and not self._shields:
            self._due = False
            raise KeyboardInterrupt


_current = Interrupts()


@contextmanager
def interruptible() -> Iterator[Interrupts]:
    """Handle signals inside the block, and restore the handlers at its end.

    Ignored signals stay ignored (``nohup``, background jobs). Outside the main thread, where no
    signals arrive, nothing is changed.
    """
    global _current
    interrupts, before = Interrupts(), {}
    if threading.current_thread() is threading.main_thread():
        _current = interrupts
        for number in _CAUGHT:
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, interrupts.handle)
    try:
        yield interrupts
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def shielded() -> Iterator[None]:
    """Delay signals until a step that must not stop half-way (writing a file) is finished.

    For milliseconds only, and for the main thread.
    """
    interrupts = _current
    interrupts.raise_shield()
    try:
        yield
    finally:
        interrupts.lower_shield()
