"""How long something takes on a machine that does other things too."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import torch

FEWEST, MOST = 5, 60
"""Repetitions of one measurement."""

AGREEMENT: Final = 0.02
"""Largest relative difference of the two shortest times at which measuring may end."""

SECONDS: Final = 0.4
"""Measuring ends after this long, however little the times agree."""

SHORTEST: Final = 2e-5
"""Calls that take less are timed several at once, seconds."""

RACE_FEWEST, RACE_MOST, RACE_SECONDS = 9, 200, 12.0
"""The same of a race, in rounds."""

Work = Callable[[], Any]


def shortest(work: Work, device: torch.device) -> float:
    """Return the shortest of several times that ``work`` takes, in seconds, after a warm-up.

    Whatever else the machine does only adds to a time, so the least is the best estimate. It counts
    as found when a second time comes close to it.
    """
    work()
    once = _timed(work, device, 1)
    loops = max(1, min(64, int(SHORTEST / max(once, 1e-7))))
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < MOST:
        times.append(_timed(work, device, loops))
        if len(times) < FEWEST:
            continue
        if _agree(times) or time.perf_counter() - began > SECONDS:
            break
    return min(times)


def race(works: Sequence[Work], device: torch.device) -> list[list[float]]:
    """Return the seconds of each work in each round; they take turns, after a warm-up.

    A machine that slows down slows all of them. It ends as :func:`shortest` does, but later.
    """
    for work in works:
        work()
    turns: list[list[float]] = []
    began = time.perf_counter()
    while len(turns) < RACE_MOST:
        turns.append([_timed(work, device, 1) for work in works])
        if len(turns) < RACE_FEWEST:
            continue
        agree = all(_agree(times) for times in zip(*turns, strict=True))
        if agree or time.perf_counter() - began > RACE_SECONDS:
            break
    return [list(times) for times in zip(*turns, strict=True)]


def _agree(times: Sequence[float]) -> bool:
    first, second = sorted(times)[:2]
    return second <= first * (1 + AGREEMENT)


def now(device: torch.device) -> float:
    """Return the time in seconds, once the device has done what it was given.

    One thread's own time leaves out what other programs had of the core meanwhile.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    alone = device.type == "cpu" and torch.get_num_threads() == 1
    return time.thread_time() if alone else time.perf_counter()


def _timed(work: Work, device: torch.device, loops: int) -> float:
    start = now(device)
    for _ in range(loops):
        work()
    return (now(device) - start) / loops
