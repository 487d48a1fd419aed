"""Progress of long work: the interface it reports to, and announcements of slow reading.

Work that is handed a :class:`Progress` opens phases on it. Work far below any progress object, such
as decoding images, announces itself with :func:`slow_phase`; a command that shows progress listens
with :func:`shown_by`. Without a listener nothing is reported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final, Protocol

OnAdvance = Callable[[int], Any]
"""Called with the number of steps done since the last call."""

PhaseFn = Callable[[str, int], AbstractContextManager[Any]]
"""(name, total steps) -> context that shows the phase; its value has ``advance``."""

MEGABYTE: Final = 2**20


class Phase(Protocol):
    """A phase of the work that is under way."""

    def advance(self, steps: int = 1, **facts: float) -> None:
        """Report ``steps`` more done, and what is known now: ``best=0.91``, ``loss=0.3``."""


class Progress(Protocol):
    """Receiver of the progress of long work."""

    def phase(self, name: str, total: int) -> AbstractContextManager[Phase]:
        """Begin a phase of ``total`` steps: train, rank, search, finetune or test."""

    def note(self, text: str) -> None:
        """Say something the user should know, on a line of its own."""


class Silent:
    """Progress that reports nothing, the default of library calls."""

    @contextmanager
    def phase(self, name: str, total: int) -> Iterator[Phase]:
        """Ignore a phase."""
        yield self

    def advance(self, steps: int = 1, **facts: float) -> None:
        """Ignore an advance."""

    def note(self, text: str) -> None:
        """Ignore a note."""


@dataclass(frozen=True)
class _Listener:
    """What shows announced phases, and whether also those too short to wait for."""

    phase: PhaseFn
    short_too: bool


_listener: ContextVar[_Listener | None] = ContextVar("listener", default=None)


@contextmanager
def shown_by(phase: PhaseFn, *, short_too: bool = False) -> Iterator[None]:
    """Show the phases that are announced inside the block with ``phase``.

    ``short_too``: also those of fewer steps than their ``least``.
    """
    token = _listener.set(_Listener(phase, short_too))
    try:
        yield
    finally:
        _listener.reset(token)


@contextmanager
def slow_phase(name: str, total: int, *, least: int) -> Iterator[OnAdvance]:
    """Announce a phase of ``total`` steps, unless they are fewer than ``least``."""
    listener = _listener.get()
    if listener is None or (total < least and not listener.short_too):
        yield lambda steps: None
        return
    with listener.phase(name, total) as phase:
        yield phase.advance


@contextmanager
def slow_read(name: str, size: int, *, least: int) -> Iterator[OnAdvance]:
    """Announce a phase of ``size`` bytes as :func:`slow_phase` does; megabytes are its steps."""
    with slow_phase(name, size // MEGABYTE, least=least // MEGABYTE) as advance:
        done = 0

        def count(number: int) -> None:
            nonlocal done
            before, done = done, done + number
            advance(done // MEGABYTE - before // MEGABYTE)

        yield count
