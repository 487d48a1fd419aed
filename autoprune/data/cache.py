"""Cache of decoded data on disk: never trusted, rebuilt whenever it cannot be used."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from autoprune.foundation.files import canonical, file_digest, user_directory
from autoprune.foundation.progress import slow_read

Content = tuple[dict[str, Tensor], dict[str, str]]
"""Tensors by name, and facts about them."""

FORMAT = "2"
LARGE = 2**28
"""From so many bytes on, hashing takes long enough to be shown as progress."""


def directory() -> Path:
    """Return the user's cache directory for data."""
    return user_directory("XDG_CACHE_HOME", ".cache") / "data"


def fingerprint(root: Path, files: Iterable[Path]) -> str:
    """Hash the names below ``root`` and the contents of ``files``, in the order given."""
    combined, files = hashlib.sha256(FORMAT.encode()), list(files)
    size = sum(file.stat().st_size for file in files)
    with slow_read("hash", size, least=LARGE) as advance:
        for file in files:
            combined.update(f"{file.relative_to(root)} {file_digest(file, advance)}\n".encode())
    return combined.hexdigest()[:16]


def cached(name: str, make: Callable[[], Content]) -> Content:
    """Return what ``make`` returns, from the cache if it is there and has its checksum.

    A cache that cannot be written is left out; two processes may write the same one at a time.
    """
    path = directory() / f"{name}.safetensors"
    content = _read(path)
    if content is None:
        content = make()
        _write(path, content)
    return content


def _read(path: Path) -> Content | None:
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            facts = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (OSError, SafetensorError):
        return None
    check = facts.pop("check", None)
    sound = facts.get("format") == FORMAT and check == _check(tensors, facts)
    return (tensors, facts) if sound else None


def _check(tensors: dict[str, Tensor], facts: dict[str, str]) -> str:
    """Return a hash of everything in a cache: disks and memory flip bits."""
    combined = hashlib.sha256(canonical(facts).encode())
    size = sum(value.nbytes for value in tensors.values())
    with slow_read("hash", size, least=LARGE) as advance:
        for name, value in sorted(tensors.items()):
            combined.update(f"{name} {value.dtype} {list(value.shape)}\n".encode())
            combined.update(value.contiguous().view(-1).view(torch.uint8).numpy().data)
            advance(value.nbytes)
    return combined.hexdigest()


def _write(path: Path, content: Content) -> None:
    tensors, facts = content
    facts = facts | {"format": FORMAT}
    facts["check"] = _check(tensors, facts)
    with contextlib.suppress(OSError, SafetensorError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
            staged = Path(scratch) / path.name
            save_file(tensors, staged, metadata=facts)
            staged.replace(path)
