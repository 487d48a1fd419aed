"""Sizes that modules of the user keep as ints (``num_heads``, ``nf``), and follow the plan.

The code of a module may view, split or check by an int of its own. Such a size cannot be seen in
the graph; what can be seen is a constant that equals it where units run. Those ints are tried, the
fewest that make the proof of a group pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain, combinations
from typing import Any

from torch import nn

from autoprune.structure.table import Extent, Structure

Attribute = tuple[str, str]
"""(module path, attribute)."""

Choice = dict[Attribute, Extent]

TRIALS = 24
"""Choices of ints that are tried for one group."""


def own_ints(model: nn.Module, path: str) -> Iterator[tuple[Attribute, int]]:
    """Yield the ints of a module and of those around it, torch's own layers left out."""
    while True:
        module = model.get_submodule(path)
        if not type(module).__module__.startswith("torch.nn"):
            for name, value in vars(module).items():
                if type(value) is int and value > 1:
                    yield (path, name), value
        if not path:
            return
        path = path.rpartition(".")[0]


def candidates(
    model: nn.Module, structure: Structure, written: Iterable[tuple[str, int, Extent]]
) -> tuple[tuple[Attribute, Extent], ...]:
    """Return the ints that equal a size with units in it, in the same module or around it.

    ``written`` lists (module path, size, extent) of the constants in the code.
    """
    found: dict[tuple[Attribute, Extent], None] = {}
    for path, size, extent in chain(written, _tensor_sizes(structure)):
        if extent.terms:
            for attribute, value in own_ints(model, path):
                if value == size:
                    found[attribute, extent] = None
    return tuple(found)


def _tensor_sizes(structure: Structure) -> Iterator[tuple[str, int, Extent]]:
    for tensor in structure.tensors:
        for extent in tensor.shape:
            yield tensor.name.rpartition(".")[0], extent(structure.sizes), extent


class Choices:
    """Sets of ints to try for a group; what helped, or failed, in one module counts for others."""

    def __init__(self, model: nn.Module, structure: Structure) -> None:
        self._model, self._options = model, structure.options
        self._verdicts: dict[Any, bool] = {}

    def of(self, group: str) -> list[Choice]:
        """Return the sets to try: what helped elsewhere first, then the smallest."""
        own = self.options(group)
        found = [
            choice
            for count in (1, 2, 3)
            for choice in map(dict, combinations(own, count))
            if len(choice) == count and self._verdicts.get(self._kind(choice), True)
        ]
        found.sort(key=lambda choice: self._kind(choice) not in self._verdicts)
        return found[:TRIALS]

    def options(self, group: str) -> list[tuple[Attribute, Extent]]:
        """Return the ints that may hold a size with units of the group in it."""
        return [item for item in self._options if any(name == group for name, _ in item[1].terms)]

    def note(self, choice: Choice, helped: bool) -> None:
        """Remember whether a choice helped; one that helped once is always tried."""
        kind = self._kind(choice)
        self._verdicts[kind] = helped or self._verdicts.get(kind, False)

    def _kind(self, choice: Choice) -> frozenset[Any]:
        return frozenset(
            (type(self._model.get_submodule(path)), name, extent.fixed, len(extent.terms))
            for (path, name), extent in choice.items()
        )


def adopt(structure: Structure, choice: Mapping[Attribute, Extent]) -> Structure:
    """Return the structure whose plans set these ints too."""
    return replace(structure, widths={**structure.widths, **choice})
