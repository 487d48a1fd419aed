"""MNIST in halves by class: digits 0-4, and 5-9 relabeled 0-4.

As data of autoprune: ``benchmarks/support/halves.py:low`` and ``:high``; the environment variable
MNIST names the directory of MNIST.
"""

from __future__ import annotations

import os

from torch import Tensor

from autoprune.data import load_data
from autoprune.data.split import Split

Pair = tuple[Tensor, Tensor]


def low() -> dict[str, Pair]:
    """Return the digits 0 to 4."""
    return _half(0)


def high() -> dict[str, Pair]:
    """Return the digits 5 to 9."""
    return _half(5)


def _half(first: int) -> dict[str, Pair]:
    data = load_data(os.environ["MNIST"])
    return {name: _chosen(split, first) for name, split in data.splits.items()}


def _chosen(split: Split, first: int) -> Pair:
    images, labels = split.content
    here = (labels >= first) & (labels < first + 5)
    return images[here], labels[here] - first
