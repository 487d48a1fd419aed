"""Random numbers of a user's data: seeded for every sample, and left as they were found."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from types import ModuleType
from typing import Any, Final

import numpy as np
import torch

_DEPTH: Final = 5
"""Levels of attributes and containers in which generators of an object's own are looked for."""

_WIDE: Final = 100
"""Containers of more entries hold samples, not transforms."""

_WORD: Final = 2**64

_GENERATORS: Final = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)


def mixed(seed: int, number: int) -> int:
    """Return the seed of entry ``number`` of the stream ``seed``, 64 bits.

    The finalizer of splitmix64 (Steele, Lea and Flood 2014, figure 16): neighbors share nothing.
    """
    value = (seed + (number + 1) * 0x9E3779B97F4A7C15) % _WORD
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 % _WORD
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB % _WORD
    return value ^ (value >> 31)


class Randomness:
    """All random numbers that code of ``owners`` may draw.

    These are the global generators of torch (on the CPU), numpy and random, and the generators that
    the owners, or the objects inside them, keep as attributes.
    """

    def __init__(self, *owners: object) -> None:
        self._own: list[Any] = []
        seen: set[int] = set()
        for owner in owners:
            self._find(owner, _DEPTH, seen)

    def seed(self, seed: int) -> None:
        """Set every generator to a state that follows from ``seed``."""
        torch.default_generator.manual_seed(seed)
        np.random.seed(seed % 2**32)
        random.seed(seed)
        for number, own in enumerate(self._own):
            _seed(own, mixed(seed, number))

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Set every generator back at the end to where it was."""
        put_back = self.mark()
        try:
            yield
        finally:
            put_back()

    def mark(self) -> Callable[[], None]:
        """Return what sets every generator back to where it is now."""
        restoring = [_restoring(own) for own in self._own]
        restoring += [
            partial(torch.default_generator.set_state, torch.default_generator.get_state()),
            partial(np.random.set_state, np.random.get_state()),
            partial(random.setstate, random.getstate()),
        ]

        def put_back() -> None:
            for restore in restoring:
                restore()

        return put_back

    def _find(self, owner: object, depth: int, seen: set[int]) -> None:
        if id(owner) in seen or isinstance(owner, (type, ModuleType, torch.Tensor)):
            return
        seen.add(id(owner))
        if isinstance(owner, _GENERATORS):
            if not isinstance(owner, random.SystemRandom):
                self._own.append(owner)
            return
        inside = owner if isinstance(owner, (Mapping, list, tuple)) else vars_of(owner)
        if depth and len(inside) <= _WIDE:
            for entry in inside.values() if isinstance(inside, Mapping) else inside:
                self._find(entry, depth - 1, seen)


def vars_of(owner: object) -> Mapping[str, Any]:
    """Return the attributes of an object, none if it keeps them elsewhere."""
    inside = getattr(owner, "__dict__", None)
    return inside if isinstance(inside, dict) else {}


def _seed(own: Any, seed: int) -> None:
    if isinstance(own, np.random.Generator):
        own.bit_generator.state = type(own.bit_generator)(seed).state
    elif isinstance(own, torch.Generator):
        own.manual_seed(seed)
    else:
        own.seed(seed % 2**32)


def _restoring(own: Any) -> Callable[[], Any]:
    """Return what sets a generator back to where it is now."""
    if isinstance(own, np.random.Generator):
        return partial(setattr, own.bit_generator, "state", own.bit_generator.state)
    if isinstance(own, random.Random):
        return partial(own.setstate, own.getstate())
    return partial(own.set_state, own.get_state())
