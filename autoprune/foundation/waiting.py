"""Long work far from any progress, as reading data is: it says so, and whoever shows it listens.

The listener holds for a command, as that of a logger does; without one nothing is said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any, Final

OnAdvance = Callable[[int], Any]
"""Called with the number of steps that are done since the last call."""

Listener = Callable[[str, int], AbstractContextManager[Any]]
"""Opens what shows a phase of this name and number of steps; has ``advance``."""

MEGABYTE: Final = 2**20

_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextmanager
def heard_by(listener: Listener) -> Iterator[None]:
    """Let ``listener`` hear of what is waited for inside the block."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


@contextmanager
def waiting(name: str, total: int, *, least: int) -> Iterator[OnAdvance]:
    """Say that ``total`` steps are waited for, unless they are fewer than ``least``."""
    listener = _listener.get()
    if listener is None or total < least:
        yield lambda steps: None
        return
    with listener(name, total) as phase:
        yield phase.advance


@contextmanager
def reading(name: str, size: int, *, least: int) -> Iterator[OnAdvance]:
    """As :func:`waiting`, for bytes, which are told as megabytes."""
    with waiting(name, size // MEGABYTE, least=least // MEGABYTE) as told:
        done = 0

        def count(number: int) -> None:
            nonlocal done
            before, done = done, done + number
            told(done // MEGABYTE - before // MEGABYTE)

        yield count
