"""Artifacts of a run directory: published in one step, verified before use.

``manifest.json``, format 1: ``{"format", "files": {NAME: {bytes, sha256, previous}}, "check"}``
where ``previous`` is the sha256 of the content before, or null (``previous_bytes`` is its size;
the first manifests lack it), and ``check`` that of ``files``.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from autoprune.errors import DamagedError, UsageError
from autoprune.foundation.files import (
    TEMPORARY,
    canonical,
    commit,
    digest,
    file_digest,
    make_directory,
    pretty,
    read_json,
    replace_text,
    stage,
    writing,
)

FORMAT = 1
MANIFEST = "manifest.json"
STATE = ".checkpoint.safetensors"
"""Ending of the names of training checkpoints."""

START_OVER = "start over with --fresh; the damaged run is kept beside the new one"
_AGAIN = "run the same command again to recreate it, or start over with --fresh"


class Artifacts:
    """Artifacts of a run directory, each checked against the manifest before it is used."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._files = _read_manifest(path / MANIFEST)

    @property
    def names(self) -> list[str]:
        """Names of the published files that exist."""
        return [name for name in self._files if (self.path / name).is_file()]

    @property
    def damaged(self) -> list[str]:
        """Names of the published files that are missing or changed."""
        return [name for name in self._files if not self.intact(name)]

    def under_way(self, name: str) -> bool:
        """Return whether an artifact is being published, or was when its writer was killed."""
        return (self.path / f"{TEMPORARY}{name}").exists()

    def intact(self, name: str) -> bool:
        """Return whether an artifact exists and is unchanged."""
        try:
            return bool(self.file(name))
        except DamagedError:
            return False

    def file(self, name: str) -> Path:
        """Return the path of an intact artifact.

        Raises DamagedError if it is missing or changed.
        """
        path, entry = self.path / name, self._files.get(name)
        if not path.is_file():
            what = "not a regular file" if path.exists() else "missing"
            raise DamagedError(f"{path} is {what}", _AGAIN)
        if entry is None:
            raise DamagedError(f"{path} is not in the {MANIFEST} beside it", _AGAIN)
        if not _fits(path, entry):
            raise DamagedError(f"{path} is damaged: its sha256 is not the published one", _AGAIN)
        return path

    def json(self, name: str) -> Any:
        """Return the content of an intact JSON artifact; raises as :meth:`file` does."""
        return read_json(self.file(name))

    def publish(self, name: str, writer: Callable[[Path], None]) -> Path:
        """Let ``writer`` fill a file, and publish it with its hash in one step.

        The manifest names the new content and the one before it, so a crash between the two steps
        leaves an intact directory. A damaged file in its place is kept as ``NAME.damaged-N``.
        Raises AutopruneError if it cannot be written.
        """
        path = self.path / name
        staged = stage(path, writer)
        if name in self._files and path.exists() and not self.intact(name):
            set_aside(path, "damaged")
        entry = {
            "bytes": staged.stat().st_size,
            "sha256": file_digest(staged),
            "previous": None,
        }
        if self.intact(name):
            entry |= {"previous": file_digest(path), "previous_bytes": path.stat().st_size}
        self._seal({**self._files, name: entry})
        commit(staged, path)
        return path

    def remove(self, name: str) -> None:
        """Delete an artifact; a crash in between leaves a file that nothing lists.

        Raises AutopruneError if it cannot be deleted.
        """
        self._seal({key: entry for key, entry in self._files.items() if key != name})
        path = self.path / name
        with writing(path):
            path.unlink(missing_ok=True)

    def copy(self, target: Path) -> None:
        """Copy everything published to a new directory that reads like this one.

        Raises UsageError if the target exists and is not empty, DamagedError for a damaged source.
        """
        if target.exists() and any(target.iterdir()):
            raise UsageError(f"{target} exists and is not empty", "choose another path")
        make_directory(target)
        copies = Artifacts(target)
        for name in self.names:
            source = self.file(name)
            copies.publish(name, partial(_copy, source))

    def _seal(self, files: dict[str, dict[str, Any]]) -> None:
        sealed = {"format": FORMAT, "files": files, "check": digest(canonical(files))}
        replace_text(self.path / MANIFEST, pretty(sealed))
        self._files = files


def set_aside(path: Path, why: str) -> Path:
    """Rename a file or directory to ``NAME.WHY-N``, where nothing is lost; return the new path.

    Raises AutopruneError if it cannot be renamed.
    """
    number = 1
    while (aside := path.with_name(f"{path.name}.{why}-{number}")).exists():
        number += 1
    with writing(path):
        path.rename(aside)
    return aside


def _fits(path: Path, entry: dict[str, Any]) -> bool:
    """Whether a file is what an entry of the manifest says, or was before."""
    size = path.stat().st_size
    sizes = [entry.get("bytes")]
    if entry["previous"] is not None:
        sizes.append(entry.get("previous_bytes", size))
    # The size goes first: to hash what claims to be endless would be.
    return size in sizes and file_digest(path) in (entry["sha256"], entry["previous"])


def _copy(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)


def _read_manifest(path: Path) -> dict[str, dict[str, Any]]:
    if not path.exists() and not path.is_symlink():
        return {}
    try:
        data = read_json(path)
    except DamagedError as error:
        raise DamagedError(str(error), START_OVER) from None
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise DamagedError(f"{path} is not a manifest this version knows", START_OVER)
    files = data.get("files")
    if not isinstance(files, dict) or data.get("check") != digest(canonical(files)):
        raise DamagedError(f"{path} is damaged: its check does not fit", START_OVER)
    for name, entry in files.items():
        if Path(name).name != name or name in (".", ".."):
            raise DamagedError(f"{path} names a file outside its directory: {name!r}", START_OVER)
        if not isinstance(entry, dict) or not entry.keys() >= {"sha256", "previous"}:
            raise DamagedError(f"{path} says too little about {name}", START_OVER)
    return files
