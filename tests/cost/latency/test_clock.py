"""Timing of operations and networks."""

import time

import torch

from autoprune.cost.latency.clock import TimingConfig, race, shortest

CPU = torch.device("cpu")


def spin(seconds):
    """Keep the processor busy: the clock of a single thread does not count sleep."""

    def work():
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            pass

    return work


def test_a_time_is_that_of_the_work():
    found = shortest(spin(0.002), CPU, TimingConfig(seconds=0.1))
    assert 0.001 < found < 0.02


def test_measuring_ends_at_the_latest_after_the_most_repetitions():
    calls = []
    shortest(lambda: calls.append(1), CPU, TimingConfig(most=6, agreement=-1.0, brief=0.0))
    assert len(calls) == 1 + 1 + 6  # a warm-up, a first look, the repetitions


def test_a_race_alternates_and_ranks():
    order = []
    slow, fast = spin(0.004), spin(0.001)
    config = TimingConfig(fewest=3, most=3, seconds=10.0)
    works = [lambda: (order.append("slow"), slow()), lambda: (order.append("fast"), fast())]
    times = race(works, CPU, config)
    assert [len(turns) for turns in times] == [3, 3]
    assert order == ["slow", "fast"] * 4
    assert min(times[1]) < min(times[0])
