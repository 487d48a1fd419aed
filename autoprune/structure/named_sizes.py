"""Sizes kept as ints that the user names (``blocks.*.attn.num_heads``), beside those found."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from torch import nn

from autoprune.errors import UsageError
from autoprune.structure.kept_sizes import Attribute
from autoprune.structure.module_sizes import one_size
from autoprune.structure.table import Extent, Structure


def named_ints(model: nn.Module, sizes: Sequence[str]) -> dict[str, tuple[Attribute, ...]]:
    """Return for each name the ints that it stands for, by module path and attribute.

    Names are paths of modules and an attribute, perhaps with wildcards; ``*`` crosses dots.

    Raises UsageError for a name that is none, or an attribute that holds no int to set.
    """
    return {name: _ints(model, name) for name in sizes}


def with_named(
    structure: Structure, model: nn.Module, ints: dict[str, tuple[Attribute, ...]]
) -> Structure:
    """Return the structure whose proof may set the named ints, and tries them first.

    An int may follow any size with units in it that equals it, wherever in the model that is.

    Raises UsageError for a name where no such size is.
    """
    options: dict[tuple[Attribute, Extent], None] = {}
    known = list(dict.fromkeys(_extents(structure)))
    for places in ints.values():
        own = [
            (place, extent)
            for place in places
            for extent in known
            if extent(structure.sizes) == one_size(vars(model.get_submodule(place[0]))[place[1]])
        ]
        if not own:
            path, attribute = places[0]
            value = vars(model.get_submodule(path))[attribute]
            raise UsageError(
                f"{_joined(places[0])} is {value}, and nothing that can be pruned has that size",
                "autoprune inspect lists the groups and what is pinned",
            )
        options |= dict.fromkeys(own)
    named = frozenset(place for places in ints.values() for place in places)
    return replace(structure, options=(*options, *structure.options), named=named)


def unset(structure: Structure) -> dict[Attribute, Extent]:
    """Return the named ints that no proof has asked for, and that can only mean one size."""
    meant: dict[Attribute, set[Extent]] = {}
    for place, extent in structure.options:
        if place in structure.named and place not in structure.widths and extent.terms:
            meant.setdefault(place, set()).add(extent)
    return {place: extents.pop() for place, extents in meant.items() if len(extents) == 1}


def _extents(structure: Structure) -> Iterator[Extent]:
    """Yield sizes with units in them: of groups, then of tensors and of what is set already."""
    for group in structure.groups:
        yield Extent(0, ((group.name, 1),))
    for tensor in structure.tensors:
        yield from (extent for extent in tensor.shape if extent.terms)
    yield from (extent for _, extent in structure.options if extent.terms)


def _ints(model: nn.Module, name: str) -> tuple[Attribute, ...]:
    places = [
        (path, attribute)
        for path, module in model.named_modules()
        for attribute in _attributes(module)
        if fnmatchcase(_joined((path, attribute)), name)
    ]
    if not places:
        raise UsageError(f"the network has no attribute {name!r}", _close(model, name))
    found = tuple(place for place in places if _is_size(model, place))
    if not found:
        path, attribute = places[0]
        why = _what(model.get_submodule(path), attribute)
        raise UsageError(
            f"{_joined(places[0])} cannot be set: {why}",
            "name an attribute that the module keeps as an int",
        )
    return found


def _is_size(model: nn.Module, place: Attribute) -> bool:
    size = one_size(vars(model.get_submodule(place[0])).get(place[1]))
    return size is not None and size > 0


def _attributes(module: nn.Module) -> Iterable[str]:
    """Return the names of what a module keeps or computes, not those of torch's own machinery."""
    own = [name for name in vars(module) if name not in vars(_PLAIN)]
    computed = [
        name
        for kind in type(module).__mro__
        if kind not in nn.Module.__mro__
        for name, value in vars(kind).items()
        if isinstance(value, property)
    ]
    return dict.fromkeys([*own, *computed, *module._parameters, *module._buffers])


def _what(module: nn.Module, attribute: str) -> str:
    if isinstance(getattr(type(module), attribute, None), property):
        return "it is a property, computed from something else"
    return f"it holds {type(getattr(module, attribute)).__name__}, not an int of at least 1"


def _joined(place: Attribute) -> str:
    return ".".join(place).removeprefix(".")


def _close(model: nn.Module, name: str) -> str:
    known = [
        _joined((path, attribute))
        for path, module in model.named_modules()
        for attribute in _attributes(module)
        if _is_size(model, (path, attribute))
    ]
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(close)}?" if close else "as in blocks.*.attn.num_heads"


_PLAIN = nn.Module()
