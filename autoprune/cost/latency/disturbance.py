"""Other work on the machine while times are taken."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

_SPARE: Final = 0.5
"""Cores that the system itself may keep busy."""

_IDLE: Final = (3, 4)
"""Places of idle and waiting time in a line of /proc/stat; guests are counted twice behind 7."""


@contextmanager
def watched(threads: int, notes: list[str]) -> Iterator[None]:
    """Note if other work spoils the times of several threads that are taken inside the block.

    Times of one thread are those of its processor, which others do not lengthen much. Of several,
    all wait for the one that others hold up. Where the system does not tell, nothing is noted.
    """
    before, began, own = busy_seconds(), time.perf_counter(), time.process_time()
    yield
    after, spent = busy_seconds(), time.process_time() - own
    if before is None or after is None:
        return
    others = (after - before - spent) / max(time.perf_counter() - began, 1e-9)
    notes.extend(spoiled(threads, os.cpu_count() or 1, others))


def spoiled(threads: int, cores: int, others: float) -> list[str]:
    """Return what to say if other work, on so many cores, leaves too few for the threads."""
    if threads == 1 or others + threads <= cores + _SPARE:
        return []
    return [
        f"other work kept {others:.1f} of {cores} cores busy while times of {threads} threads were"
        " taken: they are unreliable; wait and pass --fresh, or take --threads 1"
    ]


def busy_seconds(file: Path = Path("/proc/stat")) -> float | None:
    """Return how long all cores together were busy since the start, in seconds; None if unknown."""
    with suppress(OSError, ValueError, IndexError):
        ticks = [int(part) for part in file.read_text().splitlines()[0].split()[1:9]]
        busy = sum(ticks) - sum(ticks[place] for place in _IDLE)
        return busy / os.sysconf("SC_CLK_TCK")
    return None
