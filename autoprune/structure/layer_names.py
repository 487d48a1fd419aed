"""Groups by the layers that users name: paths of modules, with wildcards (``layer1.*.conv1``)."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from fnmatch import fnmatchcase

from autoprune.errors import UsageError
from autoprune.structure.table import Structure


def groups_of(structure: Structure, layer: str) -> tuple[str, ...]:
    """Return the groups of units that the layers called ``layer`` put out, in execution order.

    ``layer`` is the path of a module, which stands for all modules in it, too, the name of a
    parameter, or of a group; ``*`` and ``?`` are wildcards, ``*`` crosses dots. A layer whose
    outputs must stay anyway has no groups.

    Raises UsageError, with names that come close, if no layer is called so.
    """
    aliases: dict[str, list[str]] = {}
    for other, name in structure.aliases.items():
        aliases.setdefault(name, []).append(other)

    def called(tensor: str) -> bool:
        names = (tensor, *aliases.get(tensor, ()))
        return any(fnmatchcase(path, layer) for name in names for path in _paths(name))

    matching = {item.name for item in structure.tensors if called(item.name)}
    named = {group.name for group in structure.groups if called(group.name)}
    if not matching and not named:
        raise UsageError(f"the network has no layer {layer!r}", _close(structure, layer))
    return tuple(
        group.name
        for group in structure.groups
        if group.name in named
        or any(
            one.tensor in matching and one.role != "in"
            for one in structure.slices.get(group.name, ())
        )
    )


def _paths(tensor: str) -> Iterator[str]:
    """Yield the name of a tensor, and the paths of the modules it is in."""
    path = tensor
    while path:
        yield path
        path = path.rpartition(".")[0]


def _close(structure: Structure, layer: str) -> str:
    known = dict.fromkeys(path for item in structure.tensors for path in _paths(item.name))
    close = difflib.get_close_matches(layer, known, n=3, cutoff=0.5)
    hint = "autoprune inspect lists the layers; wildcards are * and ?"
    return f"did you mean {' or '.join(close)}?" if close else hint
