"""User functions, named as ``file.py:function`` or ``package.module:function``.

Loading one runs its file, so only names that the user typed are loaded directly. Names from a
stored run go through :mod:`autoprune.foundation.trust` first.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from autoprune.errors import AutopruneError, UsageError, UserCodeError
from autoprune.foundation.files import digest, expand_user, file_digest

_USER = "autoprune_user_"


@dataclass(frozen=True)
class Factory:
    """A user function: its ``name`` (files by absolute path), source file and the file's sha256."""

    name: str
    path: str
    sha256: str


def is_factory(spec: str) -> bool:
    """Say whether ``spec`` has the form of ``file.py:function`` or ``package.module:function``."""
    place, colon, function = spec.rpartition(":")
    is_file = place.endswith(".py")
    is_module = all(part.isidentifier() for part in place.split("."))
    return bool(colon) and function.isidentifier() and (is_file or is_module)


def refuse_malformed(spec: str) -> None:
    """Raise UsageError if ``spec``, which names no function, was meant to."""
    file, ending, _ = spec.partition(".py")
    if ending and not is_factory(spec):
        raise UsageError(f"{spec!r} names no function", f"write {file}.py:function, no brackets")


def load(spec: str) -> tuple[Callable[..., Any], Factory]:
    """Import the function that ``spec`` names; return it and its Factory.

    Raises UsageError if there is no such file, module or function, if importing it fails, or if it
    is neither a python function nor a class (so never a built-in such as ``os:system``).
    """
    place, _, name = spec.rpartition(":")
    if place.endswith(".py"):
        path = expand_user(place).resolve()
        if not path.is_file():
            raise UsageError(f"no such file: {path}", f"{spec!r} should be file.py:function")
        module, spec = _import_file(path), f"{path}:{name}"
    else:
        module = _import_module(place)
        path = Path(getattr(module, "__file__", None) or "").resolve()
    function = getattr(module, name, None)
    if function is None:
        names = [key for key, value in vars(module).items() if inspect.isroutine(value)]
        close = difflib.get_close_matches(name, names, n=3, cutoff=0.3)
        raise UsageError(
            f"{place} has no {name!r}", f"did you mean {' or '.join(close)}?" if close else ""
        )
    if not (inspect.isfunction(function) or inspect.isclass(function)) or not path.is_file():
        raise UsageError(f"{spec} is not a python function", "name a function written in python")
    return function, Factory(spec, str(path), file_digest(path))


def locate(name: str) -> Path | None:
    """Find the source file behind a factory's name without running anything; None if gone."""
    place = name.rpartition(":")[0]
    if place.endswith(".py"):
        return Path(place)
    full, *parts = place.split(".")
    with _first_on_path(Path.cwd()):
        try:
            spec = importlib.util.find_spec(full)
        except ValueError:  # a module that is imported but knows no file
            return None
    for part in parts:
        if spec is None or spec.submodule_search_locations is None:
            return None
        full += f".{part}"
        spec = PathFinder.find_spec(full, spec.submodule_search_locations)
    return Path(spec.origin).resolve() if spec and spec.origin else None


def call(spec: str, function: Callable[..., Any], **options: Any) -> Any:
    """Call a user function with those of ``options`` that its signature names.

    Raises UserCodeError, in one line, for any error it raises.
    """
    with blamed(f"{spec} fails"):
        return function(**accepted(function, options))


def accepted(function: Callable[..., Any], options: dict[str, Any]) -> dict[str, Any]:
    """Return those of ``options`` that the signature of ``function`` names."""
    try:
        names = inspect.signature(function).parameters
    except ValueError:  # some classes written in C hide theirs
        return {}
    return {key: value for key, value in options.items() if key in names}


def parameters(function: Callable[..., Any]) -> tuple[str, ...] | None:
    """Return the names of a function's parameters, None if it takes any keyword."""
    found = inspect.signature(function).parameters
    if any(one.kind is inspect.Parameter.VAR_KEYWORD for one in found.values()):
        return None
    return tuple(found)


@contextmanager
def blamed(what: str, hint: str = "--debug shows where") -> Iterator[None]:
    """Turn any error into a one-line UsageError that starts with ``what``.

    It is a UserCodeError if code of the user's raised it.
    """
    try:
        yield
    except AutopruneError:
        raise
    except (Exception, SystemExit) as error:
        reason = next(iter(str(error).strip().splitlines()), "")
        kind = UsageError if origin(error) is None else UserCodeError
        raise kind(f"{what}: {type(error).__name__}: {reason}", hint) from error


def origin(error: BaseException) -> str | None:
    """Return the innermost line of the user's code that an error came through, as FILE:LINE.

    Code of the user's is neither ours nor installed. None if the error met none.
    """
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    lines = [
        f"{frame.f_code.co_filename}:{number}"
        for frame, number in traceback.walk_tb(error.__traceback__)
        if _is_users(frame.f_code.co_filename)
    ]
    if lines:
        return lines[-1]
    return None if error.__cause__ is None else origin(error.__cause__)


def _is_users(file: str) -> bool:
    """Whether a source file is neither generated nor part of autoprune, python or a library."""
    place = Path(file).resolve()
    installed = {"site-packages", "dist-packages"} & set(place.parts)
    ours = any(place.is_relative_to(path) for path in _STANDARD)
    return not (file.startswith("<") or installed or ours)


_STANDARD: Final = (
    Path(sysconfig.get_path("stdlib")).resolve(),
    # Two rooms of a checkout lie beside the package.
    *((Path(__file__).parents[1] / room).resolve() for room in ("", "agents", "envs")),
)


def imported_files() -> list[Path]:
    """Return the user files that were imported; another process needs them to unpickle classes."""
    return [
        Path(str(module.__file__)) for name, module in sys.modules.items() if name.startswith(_USER)
    ]


def import_files(paths: Sequence[Path]) -> None:
    """Import user files that another process of ours has imported.

    Files that are gone or fail meanwhile are left out: only what needs them must fail.
    """
    for path in paths:
        with suppress(AutopruneError, OSError):
            _import_file(path)


def _import_file(path: Path) -> ModuleType:
    """Run a file as a module; modules beside it can be imported while it runs."""
    name = f"{_USER}{digest(f'{path} {file_digest(path)}')[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    source = importlib.util.spec_from_file_location(name, path)
    if source is None or source.loader is None:
        raise UsageError(f"{path} is not a python file")
    module = importlib.util.module_from_spec(source)
    sys.modules[name] = module  # dataclasses and pickling workers look their module up
    with _first_on_path(path.parent), blamed(f"{path} cannot be imported"):
        try:
            source.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
    return module


def _import_module(name: str) -> ModuleType:
    with _first_on_path(Path.cwd()), blamed(f"module {name!r} cannot be imported"):
        return importlib.import_module(name)


@contextmanager
def _first_on_path(directory: Path) -> Iterator[None]:
    sys.path.insert(0, str(directory))
    try:
        yield
    finally:
        sys.path.remove(str(directory))
