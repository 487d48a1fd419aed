"""Number of threads that PyTorch computes a network with."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import torch

SMALL: Final = 2 * 10**7
"""MACs of one sample below which threads wait for each other longer than they compute. On two
cores that other work kept busy, two threads made the training of a network of 10^6 MACs 15 times
slower than one."""


def suitable_threads(macs: int) -> int:
    """Threads for a network of so many MACs per sample: one if it is small, else all cores.

    It depends on nothing that changes from run to run, since sums depend on the number.
    """
    return 1 if macs < SMALL else available_cores()


def available_cores() -> int:
    """Cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not everywhere
        return os.cpu_count() or 1


@contextmanager
def threads(number: int) -> Iterator[None]:
    """Compute with that many threads inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
