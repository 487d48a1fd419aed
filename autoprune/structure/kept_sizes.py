"""Sizes that modules of the user keep as ints (``num_heads``, ``nf``), and follow the plan.

The code of a module may view, split or check by an int of its own. Such a size cannot be seen in
the graph; what can be seen is a constant that equals it where units run. Where the proof of a group
fails, the ints that the failing code reads are set, one kind after another, until it passes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain

from torch import nn

from autoprune.structure.module_sizes import one_size
from autoprune.structure.table import Extent, Structure

Attribute = tuple[str, str]
"""(module path, attribute)."""

Kind = tuple[type, str, int, tuple[int, ...]]
"""Class of the module, attribute, and how its size counts units: what modules alike share."""

TRIALS = 24
"""Proofs that are spent on one group."""


_READ = (nn.MultiheadAttention,)
"""Layers of torch that compute with the ints they keep."""


def own_ints(model: nn.Module, path: str) -> Iterator[tuple[Attribute, int]]:
    """Yield the sizes that a module and those around it keep, torch's own layers left out."""
    while True:
        module = model.get_submodule(path)
        if isinstance(module, _READ) or not type(module).__module__.startswith("torch.nn"):
            for name, value in vars(module).items():
                size = one_size(value)
                if size is not None and size > 1:
                    yield (path, name), size
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
    for path, size, extent in chain(written, _tensor_sizes(structure), _group_sizes(structure)):
        if extent.terms:
            for attribute, value in own_ints(model, path):
                if value == size:
                    found[attribute, extent] = None
    return tuple(found)


def _tensor_sizes(structure: Structure) -> Iterator[tuple[str, int, Extent]]:
    for tensor in structure.tensors:
        for extent in tensor.shape:
            yield tensor.name.rpartition(".")[0], extent(structure.sizes), extent


def _group_sizes(structure: Structure) -> Iterator[tuple[str, int, Extent]]:
    """Yield the units of each group where its tensors are: heads may be counted without a view."""
    for group in structure.groups:
        for path in dict.fromkeys(
            one.tensor.rpartition(".")[0] for one in structure.slices[group.name]
        ):
            yield path, group.size, Extent(0, ((group.name, 1),))


class Choices:
    """Ints to set for a group: those of all modules alike at once, as their code is the same."""

    def __init__(self, model: nn.Module, structure: Structure) -> None:
        self._model, self._options = model, structure.options
        self._groups = [group.name for group in structure.groups]
        self._named = {(type(model.get_submodule(path)), name) for path, name in structure.named}
        self._helped: list[tuple[Kind, ...]] = []
        self._copied: dict[str, set[Attribute]] = {}

    def options(self, group: str) -> dict[Kind, dict[Attribute, Extent]]:
        """Return the ints that may hold a size with units of the group in it, by kind."""
        found: dict[Kind, dict[Attribute, Extent]] = {}
        for (path, name), extent in self._options:
            if any(owner == group for owner, _ in extent.terms):
                times = tuple(sorted(count for _, count in extent.terms))
                kind = (type(self._model.get_submodule(path)), name, extent.fixed, times)
                found.setdefault(kind, {})[path, name] = extent
        return found

    def known(self, group: str) -> list[tuple[Kind, ...]]:
        """Return the kinds that helped another group, where this one has them too."""
        own = self.options(group)
        return [kinds for kinds in self._helped if all(kind in own for kind in kinds)]

    def copied(self, structure: Structure, kinds: tuple[Kind, ...]) -> Structure:
        """Note kinds that helped a group, and set them for all groups that have them too.

        What they would set otherwise, or what another group has set, stays.
        """
        if not kinds or kinds in self._helped:
            return structure
        self._helped.append(kinds)
        for group in self._groups:
            own = self.options(group)
            if all(kind in own for kind in kinds):
                choice = {place: size for kind in kinds for place, size in own[kind].items()}
                if structure.widths.keys().isdisjoint(choice):
                    self._copied.setdefault(group, set()).update(choice)
                    structure = adopt(structure, choice)
        return structure

    def without_copied(self, structure: Structure, group: str) -> Structure:
        """Return the structure without what was set for a group by the example of another."""
        wrong = self._copied.pop(group, set())
        if not wrong:
            return structure
        kept = {place: size for place, size in structure.widths.items() if place not in wrong}
        return replace(structure, widths=kept)

    def near(self, group: str, chosen: tuple[Kind, ...], error: Exception | None) -> list[Kind]:
        """Return the kinds that the failing code reads, what it names first; else all there are.

        Those that the user names come before.

        An error comes out of functions whose local variables hold the modules that ran.
        """
        taken = {kind[:2] for kind in chosen}
        left = [kind for kind in self.options(group) if kind[:2] not in taken]
        named: dict[Kind, None] = {}
        around: dict[Kind, None] = {}
        for local, names in _frames(error) if error else ():
            for kind in left:
                if kind[0] in local:
                    (named if kind[1] in names else around)[kind] = None
        asked = {kind: None for kind in left if kind[:2] in self._named}
        return list({**asked, **named, **around}) if named or around else [*asked, *left]


def _frames(error: Exception) -> list[tuple[set[type], tuple[str, ...]]]:
    """Return the classes of local modules, and the names read, innermost function first."""
    found = []
    trace = error.__traceback__
    while trace is not None:
        frame = trace.tb_frame
        local = {type(value) for value in frame.f_locals.values() if isinstance(value, nn.Module)}
        found.append((local, frame.f_code.co_names))
        trace = trace.tb_next
    return found[::-1]


def adopt(structure: Structure, choice: Mapping[Attribute, Extent]) -> Structure:
    """Return the structure whose plans set these ints too."""
    return replace(structure, widths={**structure.widths, **choice})
