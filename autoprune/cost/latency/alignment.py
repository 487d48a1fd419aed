"""Alignment of widths to the multiples that a device computes efficiently."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import torch

WIDE, NARROW = 16, 8
"""Units that AVX-512 works on at once in float32, and other devices."""

CHOICES: Final = 4
"""Widths that alignment leaves to a group at least, if it has as many."""


def width_steps(sizes: Iterable[int], device: torch.device) -> tuple[int, ...]:
    """Return for each group the number of units its widths should be multiples of.

    That is what the device works on at once, and less for groups too small for it: halved until
    the group has ``CHOICES`` widths. Below a full vector, time follows the width anyway.
    """
    wide = device.type == "cpu" and "AVX512" in torch.backends.cpu.get_cpu_capability()
    return tuple(_step(size, WIDE if wide else NARROW) for size in sizes)


def _step(size: int, step: int) -> int:
    while step > 1 and size < CHOICES * step:
        step //= 2
    return step
