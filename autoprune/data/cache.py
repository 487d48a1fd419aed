"""Decoded data on disk: rebuilt whenever it cannot be used, never trusted, never in the way."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from autoprune.foundation.files import file_digest, user_directory
from autoprune.foundation.waiting import reading

Content = tuple[dict[str, Tensor], dict[str, str]]
"""Tensors by name, and facts about them."""

FORMAT = "1"
LARGE = 2**28
"""Bytes that take longer to hash than a user waits without a word."""


def directory() -> Path:
    """Return the user's cache directory for data."""
    return user_directory("XDG_CACHE_HOME", ".cache") / "data"


def fingerprint(root: Path, files: Iterable[Path]) -> str:
    """Hash the names below ``root`` and the contents of ``files``, in the order given."""
    combined, files = hashlib.sha256(FORMAT.encode()), list(files)
    size = sum(file.stat().st_size for file in files)
    with reading("hash", size, least=LARGE) as told:
        for file in files:
            combined.update(f"{file.relative_to(root)} {file_digest(file, told)}\n".encode())
    return combined.hexdigest()[:16]


def cached(name: str, make: Callable[[], Content]) -> Content:
    """Return what ``make`` returns, from the cache if it is there and can be read.

    A cache that cannot be written is left out; two processes may write the same one at a time.
    """
    path = directory() / f"{name}.safetensors"
    found = _read(path)
    if found is None:
        found = make()
        _write(path, found)
    return found


def _read(path: Path) -> Content | None:
    try:
        with safe_open(path, framework="pt") as file:
            facts = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (OSError, SafetensorError):
        return None
    return (tensors, facts) if facts.get("format") == FORMAT else None


def _write(path: Path, content: Content) -> None:
    tensors, facts = content
    with contextlib.suppress(OSError, SafetensorError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
            staged = Path(scratch) / path.name
            save_file(tensors, staged, metadata=facts | {"format": FORMAT})
            staged.replace(path)
