"""Pace of a training inside a run: how often it saves its state and reports its progress."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True)
class PaceConfig:
    """How often a training saves its state and reports its progress."""

    save_every: float = 20.0
    """Seconds between two saved states: the most work that a kill costs."""
    save_share: float = 0.03
    """Part of the time that saving may take; large networks are saved less often."""
    report_every: float = 0.1
    """Seconds between two reports of progress."""


_current: ContextVar[PaceConfig] = ContextVar("pace", default=PaceConfig())  # noqa: B039


def current_pace() -> PaceConfig:
    """Return the pace of trainings that are given none of their own."""
    return _current.get()


@contextmanager
def paced(config: PaceConfig) -> Iterator[None]:
    """Let trainings of this thread that begin inside the block keep the pace of ``config``.

    For callers far above the training, such as tests that kill a command in the middle of one.
    """
    token = _current.set(config)
    try:
        yield
    finally:
        _current.reset(token)
