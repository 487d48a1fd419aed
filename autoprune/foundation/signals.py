"""Ctrl-C and SIGTERM: the first ends the command in order, the second at once.

There is nothing to save when a signal comes: a run is on the disk after every step, so ending in
order means to finish the step, let go of the lock and say how to go on.
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
    """The signals that came: ``came`` is True from the first on."""

    def __init__(self) -> None:
        self.came = False
        self._shields = 0
        self._due = False

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Raise KeyboardInterrupt wherever the program is; end the process if it did before."""
        if self.came:
            os._exit(INTERRUPTED)
        self.came = self._due = True
        self._interrupt()

    def raise_shield(self) -> None:
        """Put the interrupt off until the shield is lowered."""
        self._shields += 1

    def lower_shield(self) -> None:
        """Raise the interrupt that was put off, if there is one."""
        self._shields -= 1
        self._interrupt()

    def _interrupt(self) -> None:
        if self._due and not self._shields:
            self._due = False
            raise KeyboardInterrupt


_current = Interrupts()


@contextmanager
def interruptible() -> Iterator[Interrupts]:
    """Handle signals inside the block, and leave them as they were at its end.

    A signal that is ignored stays so (``nohup``, background jobs). In other threads than the main
    one, which gets no signals, nothing is changed.
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
    """Finish a step that must not stop half-way (a file, a message to a thread) before a signal.

    For milliseconds only, and for the main thread.
    """
    interrupts = _current
    interrupts.raise_shield()
    try:
        yield
    finally:
        interrupts.lower_shield()
