"""Timing of operations and networks on a machine that also does other work."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import comb
from statistics import median
from typing import Any, Final

import torch

Work = Callable[[], Any]
"""Something to time; one that returns a float has timed itself, and returns seconds."""

CONFIDENCE: Final = 0.95
"""Part of all cases in which an interval holds the true median."""


@dataclass(frozen=True)
class Spread:
    """Median of repeated measurements, and an interval that holds the true one."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Take the interval between two of the sorted values, whatever their distribution.

        The true median lies between the k-th value from below and from above unless fewer than k
        values fall on one side of it, which is binomial (David and Nagaraja 2003, "Order
        Statistics", section 7.1).
        """
        ordered, number = sorted(values), len(values)
        out, chance = 0, (1 - CONFIDENCE) / 2 * 2.0**number
        while sum(comb(number, k) for k in range(out + 1)) <= chance:
            out += 1
        place = max(out - 1, 0)
        return cls(median(ordered), ordered[place], ordered[number - 1 - place])

    @property
    def width(self) -> float:
        """Width of the interval, relative to the median."""
        return (self.high - self.low) / self.median if self.median else 0.0


@dataclass(frozen=True)
class TimingConfig:
    """When a measurement ends: the numbers of repetitions, and how well times agree."""

    fewest: int = 5
    """Least repetitions."""
    most: int = 60
    """Most repetitions."""
    seconds: float = 0.4
    """Measuring ends after this long, however little the times agree."""
    agreement: float = 0.02
    """Largest relative difference of the two shortest times at which measuring may end."""
    brief: float = 2e-5
    """Calls that take less, in seconds, are timed several at once."""


ALONE: Final = TimingConfig()
"""Timing of a single operation."""

TURNS: Final = TimingConfig(fewest=9, most=200, seconds=12.0)
"""Timing of several networks that take turns, in rounds; their medians count."""


def shortest(work: Work, device: torch.device, config: TimingConfig = ALONE) -> float:
    """Return the shortest of several times that ``work`` takes, in seconds, after a warm-up.

    Other load on the machine only adds to a time, so the least is the best estimate. Measuring ends
    when a second time agrees with it.
    """
    work()
    once = _timed(work, device, 1)
    loops = max(1, min(64, int(config.brief / max(once, 1e-7))))
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < config.most:
        times.append(_timed(work, device, loops))
        if len(times) < config.fewest:
            continue
        if _agree(times, config) or time.perf_counter() - began > config.seconds:
            break
    return min(times)


def race(
    works: Sequence[Work], device: torch.device, config: TimingConfig = TURNS
) -> list[list[float]]:
    """Return the seconds of each work in each round; they take turns, after a warm-up.

    A machine that slows down thus slows all of them. Measuring ends when the interval of each
    median, relative to the first work in the same round, is as narrow as times should agree.
    """
    for work in works:
        work()
    turns: list[list[float]] = []
    began = time.perf_counter()
    while len(turns) < config.most:
        turns.append([_timed(work, device, 1) for work in works])
        if len(turns) < config.fewest:
            continue
        if _settled(turns, config) or time.perf_counter() - began > config.seconds:
            break
    return [list(times) for times in zip(*turns, strict=True)]


def relative(times: Sequence[float], first: Sequence[float]) -> Spread:
    """Return how one work compares with the one it took turns with, round by round."""
    return Spread.of([one / max(other, 1e-12) for one, other in zip(times, first, strict=True)])


def _settled(turns: Sequence[Sequence[float]], config: TimingConfig) -> bool:
    first, *others = zip(*turns, strict=True)
    spreads = [relative(times, first) for times in others] or [Spread.of(first)]
    return all(spread.width <= config.agreement for spread in spreads)


def _agree(times: Sequence[float], config: TimingConfig) -> bool:
    first, second = sorted(times)[:2]
    return second <= first * (1 + config.agreement)


def now(device: torch.device) -> float:
    """Return the time in seconds, once the device has finished its work.

    With a single thread, its CPU time leaves out what other programs took of the core.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    alone = device.type == "cpu" and torch.get_num_threads() == 1
    return time.thread_time() if alone else time.perf_counter()


def _timed(work: Work, device: torch.device, loops: int) -> float:
    start, own = now(device), 0.0
    for _ in range(loops):
        spent = work()
        if isinstance(spent, float):
            own += spent
    return (own or now(device) - start) / loops
