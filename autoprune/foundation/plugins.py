"""Plug-ins: searchers, rankings, rewards and tasks that other packages or callers bring.

An installed package names them in an entry point group, ``autoprune.searchers`` and so on; a name
that none of our registries has is looked for there. Objects that a caller passes in place of a name
are found the same way while the call lasts (:func:`supplied`). Nothing is imported before it is
named.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Any, Final

from autoprune.foundation.files import canonical, digest
from autoprune.foundation.user_code import blamed

KINDS: Final = ("searchers", "rankings", "rewards", "tasks", "backends")
"""Kinds of plug-ins; the entry point group of each is ``autoprune.KIND``."""

Objects = Mapping[tuple[str, str], object]
"""Objects by kind and name."""

_NONE: Final[Objects] = MappingProxyType({})
_supplied: ContextVar[Objects] = ContextVar("supplied", default=_NONE)


@dataclass(frozen=True)
class Plugin:
    """Plug-in of an installed package, not yet imported."""

    kind: str
    name: str
    package: str
    entry: EntryPoint

    def load(self) -> Any:
        """Import it; raises UsageError, naming it and its package, if that fails."""
        with blamed(
            f"the plug-in {self.name!r} of package {self.package} cannot be imported",
            f"update or uninstall {self.package}",
        ):
            return self.entry.load()


def installed(kind: str) -> dict[str, Plugin]:
    """Return the plug-ins of a kind by name; of two of the same name, the first on the path."""
    found: dict[str, Plugin] = {}
    for entry in entry_points(group=f"autoprune.{kind}"):
        package = entry.dist.name if entry.dist else "?"
        found.setdefault(entry.name, Plugin(kind, entry.name, package, entry))
    return found


def find(kind: str, name: str) -> Any:
    """Return what a caller supplies, or an installed package names so; None if nobody does.

    Raises UsageError if the plug-in cannot be imported.
    """
    if (kind, name) in _supplied.get():
        return _supplied.get()[kind, name]
    plugin = installed(kind).get(name)
    return None if plugin is None else plugin.load()


def known(kind: str, name: str) -> bool:
    """Whether there is a plug-in of that name; nothing is imported."""
    return (kind, name) in _supplied.get() or name in installed(kind)


@contextmanager
def supplied(objects: Objects) -> Iterator[None]:
    """Let ``objects``, by kind and name, be found inside the block."""
    token = _supplied.set({**_supplied.get(), **objects})
    try:
        yield
    finally:
        _supplied.reset(token)


def name_of(thing: object) -> str:
    """Return a name for a caller's object, the same for the same code and attributes.

    A run that is continued must be by the same object. Hence the name ends in a hash of the source
    of the function or class, where it can be read, and of attributes and variables of enclosing
    functions that are plain values.
    """
    kind = thing if inspect.isroutine(thing) or inspect.isclass(thing) else type(thing)
    title = str(getattr(thing, "name", None) or kind.__qualname__).rpartition(".")[2].strip("<>")
    try:
        source = inspect.getsource(kind)
    except (OSError, TypeError):  # typed into an interpreter, or written in C
        source = ""
    values = dict(getattr(thing, "__dict__", {}))
    if inspect.isfunction(thing):
        values |= inspect.getclosurevars(thing).nonlocals
    plain = {
        name: repr(value)
        for name, value in sorted(values.items())
        if isinstance(value, str | int | float | bool | None)
    }
    what = [kind.__module__, kind.__qualname__, source, plain]
    return f"{title}@{digest(canonical(what))[:8]}"
