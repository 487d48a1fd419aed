"""Outputs of a network that count, by name: what nobody reads need not stay as it is.

A name is a key, an attribute or a number, or a path of them (``logits``, ``1.boxes``). Where the
output itself has nothing of that name, what lies inside it is searched (``boxes`` of a pair whose
second element is a mapping).
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_leaves

from autoprune.errors import UsageError

Names = tuple[str, ...]


def named(names: str | Sequence[str]) -> Names:
    """Return the names as a tuple; one name may be given as it is."""
    return (names,) if isinstance(names, str) else tuple(map(str, names))


def present(outputs: Any, names: Names) -> Names:
    """Return the names that the outputs have."""
    return tuple(name for name in names if _find(outputs, name))


def counted(outputs: Any, names: Names) -> list[Tensor]:
    """Return the tensors called ``names``; all there are without names.

    Raises UsageError, with names that come close, for one that the outputs do not have.
    """
    if not names:
        return [leaf for leaf in tree_leaves(outputs) if isinstance(leaf, Tensor)]
    found = []
    for name in names:
        values = _find(outputs, name)
        if not values:
            raise UsageError(f"the model has no output {name!r}", _close(outputs, name))
        found += [leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor)]
    return list({id(leaf): leaf for leaf in found}.values())


def places(outputs: Any, names: Names) -> tuple[int, ...]:
    """Return where the outputs called ``names`` lie among the leaves; everywhere if one lacks."""
    leaves = tree_leaves(outputs)
    if len(present(outputs, names)) < len(names):
        return tuple(range(len(leaves)))
    wanted = {id(leaf) for leaf in counted(outputs, names)}
    return tuple(at for at, leaf in enumerate(leaves) if id(leaf) in wanted)


def _find(value: Any, name: str) -> list[Any]:
    first, _, rest = name.partition(".")
    members = _members(value)
    if first in members:
        return _find(members[first], rest) if rest else _tensors_in(members[first])
    if first.isdigit():
        return []
    return [one for member in members.values() for one in _find(member, name)]


def _tensors_in(value: Any) -> list[Any]:
    return [value] if any(isinstance(leaf, Tensor) for leaf in tree_leaves(value)) else []


def _members(value: Any) -> dict[str, Any]:
    """Return what a value holds, by name; the elements of a sequence by number."""
    if isinstance(value, Mapping):
        return {str(key): member for key, member in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, (tuple, list)):
        fields = zip(getattr(value, "_fields", ()), value, strict=False)
        return {**{str(at): member for at, member in enumerate(value)}, **dict(fields)}
    return {}


def _paths(value: Any, before: str = "") -> Iterator[str]:
    for name, member in _members(value).items():
        if _tensors_in(member):
            yield f"{before}{name}"
            yield from _paths(member, f"{before}{name}.")


def _close(outputs: Any, name: str) -> str:
    known = list(_paths(outputs))
    if not known:
        return "it puts out one tensor, and that counts: leave the names out"
    own = {path.rpartition(".")[2]: path for path in reversed(known)}
    close = difflib.get_close_matches(name, dict.fromkeys([*own, *known]), n=2, cutoff=0.5)
    return f"did you mean {' or '.join(close)}?" if close else f"it has {', '.join(known[:8])}"
