"""Timing of operations and networks."""

import time

import torch

from autoprune.cost.latency.clock import Spread, TimingConfig, race, relative, shortest

CPU = torch.device("cpu")


def spin(seconds):
    """Keep the processor busy: the clock of a single thread does not count sleep."""

    def work():
        until = time.thread_time() + seconds  # what the clock of a single thread counts
        while time.thread_time() < until:
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


def test_the_interval_of_a_median_is_that_of_the_binomial():
    # Tables of the sign test: ranks 2 and 9 of 10, 6 and 15 of 20, all of 5 values.
    for number, low, high in ((5, 1, 5), (10, 2, 9), (20, 6, 15), (9, 2, 8)):
        spread = Spread.of([float(value) for value in range(number, 0, -1)])
        assert (spread.low, spread.high) == (low, high)
        assert spread.median == (number + 1) / 2


def test_networks_are_compared_round_by_round():
    drifting = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0]
    spread = relative([value / 2 for value in drifting], drifting)
    assert (spread.low, spread.median, spread.high) == (0.5, 0.5, 0.5)


def test_a_work_may_time_itself():
    assert race([lambda: 0.5, lambda: 0.25], CPU) == [[0.5] * 9, [0.25] * 9]
    assert shortest(lambda: 3.0, CPU) == 3.0
