"""Alignment of widths to the multiples that hardware computes efficiently."""

from __future__ import annotations

from collections.abc import Iterable
from math import gcd
from typing import Final

import torch

from autoprune.structure.table import BRANCH, Structure

WIDE, NARROW = 16, 8
"""Units that AVX-512 works on at once in float32, and other devices.

Multiples of ``NARROW`` are fast wherever a network may be deployed: onnxruntime lays out channels
in blocks of 8 or 16, and takes a slow path for what does not fill one.
"""

CHOICES: Final = 4
"""Widths that alignment leaves to a group at least, if it has as many."""


LEAST: Final = 4
"""Channels below which a multiple fills no vector, and buys nothing for what it rounds off."""


def width_steps(sizes: Iterable[int], device: torch.device) -> tuple[int, ...]:
    """Return for each group the number of units its widths should be multiples of.

    That is what the device works on at once, and less for groups too small for it: halved until
    the group has ``CHOICES`` widths. Below a full vector, time follows the width anyway.
    """
    wide = device.type == "cpu" and "AVX512" in torch.backends.cpu.get_cpu_capability()
    return tuple(_step(size, WIDE if wide else NARROW) for size in sizes)


def portable_steps(structure: Structure) -> tuple[int, ...]:
    """Return steps for each group that suit any hardware, the same on every machine.

    A budget of MACs does not say where the network will run, and a seed should find the same plan
    everywhere. A unit that is several channels (a head of attention) needs fewer of them.
    """
    channels = dict.fromkeys(structure.sizes, 0)
    for layer in structure.layers:
        for product in layer.macs:
            for extent in product.extents:
                for name, times in extent.terms:
                    channels[name] = gcd(channels[name], times)
    return tuple(
        1 if group.kind == BRANCH else _portable(group.size, channels[group.name] or 1)
        for group in structure.groups
    )


def _portable(size: int, channels: int) -> int:
    """Return the step of a group whose units are so many channels; 1 where a step fills nothing."""
    step = _step(size, NARROW // gcd(NARROW, channels))
    return step if step * channels >= LEAST else 1


def finer(steps: Iterable[int]) -> tuple[int, ...]:
    """Return half of every step."""
    return tuple(max(1, step // 2) for step in steps)


def _step(size: int, step: int) -> int:
    while step > 1 and size < CHOICES * step:
        step //= 2
    return step
