"""Every write, sync and rename of a command below one directory, with what a crash there leaves.

``Steps`` stands between the library and the operating system in the process of the victim. With
``images`` it stores, around each step, the directory as a kill would leave it and as a power cut
would: then only what was synced is there, under the names of the last sync of the directory. With
``fails`` the step of that number fails as on a full disk, half of a write done.
"""

import errno
import hashlib
import io
import os
from pathlib import Path

from autoprune.networks import save as saving
from autoprune.runs import journal


class Steps:
    """Intercepts the steps; install it once, in the process that it is about."""

    def __init__(self, home: Path, images: Path | None, fails: int | None) -> None:
        self.home, self.images, self.fails = home.resolve(), images, fails
        self.count = 0
        self._seen: set[tuple[str, str]] = set()
        self._disk = Disk(self.home)

    def install(self) -> None:
        for name in ("fsync", "replace", "rename", "unlink", "mkdir"):
            setattr(os, name, self._wrapped(name, getattr(os, name)))
        for owner, name in ((Path, "write_text"), (Path, "write_bytes"), (saving, "save_file")):
            setattr(owner, name, self._halved(getattr(owner, name), place=int(owner is saving)))
        journal.Path.open = _dispatch(journal.Path.open, self._torn())

    def _wrapped(self, name, real):
        def step(place, *rest, **options):
            path = _path(place)
            if not (self._mine(path) or (name == "fsync" and path == self.home.parent)):
                return real(place, *rest, **options)
            self.count += 1
            self._image(f"before {name}")
            if self.count == self.fails and name != "unlink":
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            result = real(place, *rest, **options)
            if name == "fsync":
                self._disk.sync(path)
            self._image(f"after {name}")
            return result

        return step

    def _halved(self, real, place):
        """Write half first: the state of a crash in the middle."""

        def write(*arguments, **options):
            path = Path(arguments[place])
            if not self._mine(path):
                return real(*arguments, **options)
            self.count += 1
            result = real(*arguments, **options)
            whole = path.read_bytes()
            _write(path, whole[: len(whole) // 2])
            self._image("half of a file")
            if self.count == self.fails:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            _write(path, whole)
            self._image("a file")
            return result

        return write

    def _torn(self):
        steps = self

        class Torn(io.FileIO):
            def write(self, content):
                steps.count += 1
                half = super().write(content[: len(content) // 2])
                steps._image("half of a line")
                if steps.count == steps.fails:
                    return half
                half += super().write(content[len(content) // 2 :])
                steps._image("a line")
                return half

        return lambda path, mode, buffering: Torn(path, mode)

    def _image(self, what: str) -> None:
        if self.images is None:
            return
        kill = {path.relative_to(self.home): path.read_bytes() for path in _files(self.home)}
        for kind, content in (("kill", kill), ("power", self._disk.content())):
            content = {name: data for name, data in content.items() if "events" not in name.name}
            key = hashlib.sha256(repr(sorted(content.items())).encode()).hexdigest()[:12]
            if (kind, key) not in self._seen:
                self._seen.add((kind, key))
                place = self.images / f"{len(self._seen):04d} {kind} {key} {what}"
                makedirs(place)
                for name, data in content.items():
                    _write(place / name, data)

    def _mine(self, path: Path) -> bool:
        return path == self.home or self.home in path.parents


class Disk:
    """What of a directory survives a power cut: synced contents under synced names."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._contents: dict[int, bytes] = {}
        self._files: dict[Path, int] = {}
        self._folders: set[Path] = set()
        self._held: list[int] = []  # keeps inodes from being used again

    def sync(self, path: Path) -> None:
        """Take note of an fsync of a file or directory."""
        if path.is_file():
            self._held.append(os.open(path, os.O_RDONLY))
            self._contents[path.stat().st_ino] = path.read_bytes()
            return
        self._files = {name: node for name, node in self._files.items() if name.parent != path}
        for child in path.iterdir():
            if child.is_file() and self.home in child.parents:
                self._files[child] = child.stat().st_ino
            elif child.is_dir():
                self._folders.add(child)

    def content(self) -> dict[Path, bytes]:
        return {
            name.relative_to(self.home): self._contents.get(node, b"")
            for name, node in self._files.items()
            if all(
                folder in self._folders
                for folder in name.parents
                if folder == self.home or self.home in folder.parents
            )
        }


def _dispatch(real, append):
    """Open for appending as told, everything else as ever."""

    def opened(path, mode="r", buffering=-1, *rest, **options):
        if mode == "ab":
            return append(path, mode, buffering)
        return real(path, mode, buffering, *rest, **options)

    return opened


def _write(path: Path, content: bytes) -> None:
    makedirs(path.parent)
    with open(path, "wb") as stream:
        stream.write(content)


_mkdir = os.mkdir


def makedirs(path: Path) -> None:
    """Make directories without being seen."""
    for place in [*reversed(path.parents), path]:
        if not place.exists():
            _mkdir(place)


def _files(home: Path) -> list[Path]:
    return [path for path in home.rglob("*") if path.is_file()]


def _path(place: object) -> Path:
    if isinstance(place, int):
        return Path(os.readlink(f"/proc/self/fd/{place}"))
    return Path(os.path.abspath(os.fspath(place)))
