"""Data sets as users write them: they augment at random, and count what is read of them."""

import random

import numpy as np
import torch
from torch.utils.data import Dataset


class Noisy(Dataset):
    """Sample i is the number i and noise below 1 from each of ``sources``; its label is i % 4."""

    def __init__(self, count, sources=("torch",), width=1):
        self.count, self.sources, self.width, self.reads = count, sources, width, []
        self.own = np.random.default_rng(7)

    def __len__(self):
        return self.count

    def __getitem__(self, row):
        if not 0 <= row < self.count:
            raise IndexError(row)
        self.reads.append(row)
        draws = {
            "torch": lambda: float(torch.rand(())),
            "numpy": lambda: np.random.rand(),
            "random": random.random,
            "own": self.own.random,
        }
        noise = sum(draws[name]() for name in self.sources) / max(1, len(self.sources))
        return torch.full((self.width,), row + 0.9 * noise), row % 4


class Switched(Noisy):
    """Its noise can be turned off."""

    def __init__(self, count, sources=("torch",), width=1):
        super().__init__(count, sources, width)
        self.augment = True

    def __getitem__(self, row):
        x, label = super().__getitem__(row)
        return (x if self.augment else x.floor()), label


def states():
    """All global random states, comparable."""
    kind, words, *rest = np.random.get_state()
    return torch.get_rng_state().tolist(), (kind, words.tolist(), *rest), random.getstate()
