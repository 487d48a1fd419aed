"""Files and JSON: atomic replacement, sha256, strict reading.

Everything that autoprune writes goes through here, and every JSON file it reads, also files from
strangers: pipes and devices, NaN, duplicate keys, endless nesting and oversized files are refused
with the file's name.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from autoprune.errors import AutopruneError, DamagedError, UsageError

MAX_JSON_BYTES = 64 * 2**20
TEMPORARY = ".tmp-"
_BINARY = getattr(os, "O_BINARY", 0)  # Windows would translate line ends

_CANONICAL = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
)


def canonical(data: object) -> str:
    """Return ``data`` as canonical JSON, which is hashed: sorted keys, no spaces, no NaN."""
    return _CANONICAL.encode(data)


def pretty(data: object) -> str:
    """Return ``data`` as readable JSON: indented, in the order given, no NaN."""
    return json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def digest(text: str) -> str:
    """Return the sha256 of a text, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def file_digest(path: Path, on_read: Callable[[int], None] | None = None) -> str:
    """Return the sha256 of a file, in hexadecimal; raises as :func:`open_regular` does.

    ``on_read`` is called with the number of bytes of every part that is read.
    """
    content = hashlib.sha256()
    with open_regular(path) as stream:
        while part := stream.read(2**20):
            content.update(part)
            if on_read is not None:
                on_read(len(part))
    return content.hexdigest()


def open_regular(path: Path) -> BinaryIO:
    """Open a file to read its bytes, if it is one: a pipe or a device might never end.

    Raises DamagedError for anything else than a regular file, OSError if it cannot be opened.
    """
    try:
        mode = path.stat().st_mode
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise DamagedError(f"{path} is a link to itself") from None
    if stat.S_ISREG(mode):  # opening a device can have effects of its own
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _BINARY)
        if stat.S_ISREG(os.fstat(handle).st_mode):
            return os.fdopen(handle, "rb")
        os.close(handle)
    raise DamagedError(f"{path} is not a regular file")


def read_bytes(path: Path, most: int) -> bytes:
    """Read a regular file of at most ``most`` bytes, whatever its size claims to be.

    Raises DamagedError if it is larger, and as :func:`open_regular` does.
    """
    with open_regular(path) as stream:
        content = stream.read(min(most, os.fstat(stream.fileno()).st_size) + 1)
        if len(content) > most or stream.read(1):
            raise DamagedError(f"{path} is larger than any file of ours ({most} bytes)")
        return content


def parse(text: str, what: str) -> Any:
    """Read JSON from a source that is not trusted; ``what`` names it in errors.

    Raises DamagedError for anything but plain, finite, unambiguous JSON.
    """
    try:
        return json.loads(
            text,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            object_pairs_hook=_unambiguous,
        )
    except RecursionError:
        raise DamagedError(f"{what} is nested too deeply to be one of ours") from None
    except ValueError as error:
        raise DamagedError(f"{what} is not valid JSON: {error}") from None


def read_json(path: Path) -> Any:
    """Read a JSON file from a source that is not trusted.

    Raises DamagedError if it is missing, no regular file, too large, not UTF-8 or not strict JSON.
    """
    try:
        return parse(read_bytes(path, MAX_JSON_BYTES).decode(), str(path))
    except FileNotFoundError:
        raise DamagedError(f"{path} is missing") from None
    except UnicodeDecodeError:
        raise DamagedError(f"{path} is not a text file") from None


def stage(path: Path, writer: Callable[[Path], None]) -> Path:
    """Let ``writer`` fill a temporary file beside ``path``, sync it and return its path.

    Raises AutopruneError when it cannot be written; then nothing is left behind.
    """
    staged = path.with_name(f"{TEMPORARY}{path.name}")
    with writing(path):
        try:
            writer(staged)
            with staged.open("rb+") as stream:
                os.fsync(stream.fileno())
        except BaseException:
            staged.unlink(missing_ok=True)
            raise
    return staged


def commit(staged: Path, path: Path) -> None:
    """Replace ``path`` by a staged file in one step that survives a power cut."""
    with writing(path):
        staged.replace(path)
        sync_directory(path.parent)


def replace_text(path: Path, text: str) -> None:
    """Replace the content of ``path``: after a crash it is the old content or the new."""
    commit(stage(path, text_writer(text)), path)


def user_directory(variable: str, usual: str) -> Path:
    """Return our directory below the one that ``variable`` names, or ``usual`` in the user's home.

    Users without a home, as in some containers, get a path where nothing can be written.
    """
    try:
        return Path(os.environ.get(variable) or Path.home() / usual) / "autoprune"
    except RuntimeError:
        return Path(os.devnull) / "autoprune"


def expand_user(path: str | Path) -> Path:
    """Replace ``~`` and ``~NAME`` by the home directory; raises UsageError if there is none."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise UsageError(
            f"{path} lies in the home of a user whose home is unknown", "give the whole path"
        ) from None


def text_writer(text: str) -> Callable[[Path], None]:
    """Return a function that writes ``text`` to a path."""

    def write(path: Path) -> None:
        path.write_text(text, encoding="utf-8", newline="\n")

    return write


def make_directory(path: Path) -> None:
    """Create a directory and its parents, to survive a power cut; it may exist already.

    Raises AutopruneError if it cannot be created.
    """
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)
        for folder in missing:
            sync_directory(folder.parent)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn errors of the operating system into an AutopruneError about ``path``."""
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise AutopruneError(
            f"cannot write {path}: {reason}",
            "what was written before is intact; make room or choose another place, then run the"
            " same command again",
        ) from error


def sync_directory(path: Path) -> None:
    """Make renames and new names in a directory survive a power cut."""
    if os.name == "nt":  # directories cannot be opened there
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is out of range")
    return value


def _unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return result
