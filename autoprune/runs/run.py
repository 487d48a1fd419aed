"""Run directory: configuration, journal and artifacts of one run, with a single writer.

Format 1 of a run directory:

- ``config.json``: the resolved configuration, the environment (versions, platform, threads), the
  facts the results rest on (hashes of data and weights), the hash that the journals carry
  (``journal``) and how many records there were at the end (``records``).
- ``evaluations.jsonl``: the journal, the truth (:mod:`autoprune.runs.journal`).
- ``manifest.json``: size and sha256 of every artifact (:mod:`autoprune.runs.artifacts`).
- artifacts: any other file, published in one step; ``result.json`` comes last and says "finished".
- ``events.out.tfevents.*``: curves for TensorBoard.

The lock lies beside the directory (:mod:`autoprune.runs.lock`): ``--fresh`` can rename a run.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from autoprune.errors import DamagedError, UsageError
from autoprune.foundation.closing import Closing
from autoprune.foundation.config import Config
from autoprune.foundation.files import (
    TEMPORARY,
    canonical,
    digest,
    file_digest,
    make_directory,
    pretty,
    text_writer,
    writing,
)
from autoprune.runs.artifacts import START_OVER, Artifacts, set_aside
from autoprune.runs.journal import Journal
from autoprune.runs.lock import (
    real_directory,
    refuse_dangling,
    refuse_foreign_files,
    refuse_fork,
    take_lock,
)
from autoprune.runs.tensorboard import Events

FORMAT = 1
CONFIG, JOURNAL, RESULT = "config.json", "evaluations.jsonl", "result.json"
_VERSIONS = ("autoprune", "torch", "numpy", "gymnasium", "stable-baselines3", "scikit-learn")


class Run(Closing):
    """A run directory that this process alone writes to. Use it as a context manager.

    ``resumed``: whether the run existed before. ``bit_exact``: whether everything in it was
    computed in one environment and therefore repeats bit for bit; ``warnings`` say why not.
    """

    def __init__(
        self,
        path: Path,
        config: Config,
        *,
        fresh: bool = False,
        environment: Mapping[str, Any] | None = None,
    ) -> None:
        """Open the run in ``path``, or begin one.

        Raises LockedError while another process has it, UsageError when it belongs to another
        configuration or is not a run, DamagedError when it cannot be trusted. ``fresh`` moves an
        existing run to ``NAME.old-N`` first (through a link: the directory, not the link).
        ``environment`` is what decides whether numbers repeat bit for bit, by default that of this
        process (:func:`current_environment`).
        """
        refuse_dangling(path)
        path = real_directory(path)  # a link may be turned elsewhere while we write
        self.path, self.config, self._process = path, config, os.getpid()
        self._environment = environment
        self.warnings: list[str] = []
        self._lock = take_lock(path)
        try:
            if fresh and path.exists():
                set_aside(path, "old")
            make_directory(path)
            self._lock.follow()
            self.resumed = (path / CONFIG).exists()
            if not self.resumed:
                refuse_foreign_files(path)
            _clear_temporaries(path)
            self.artifacts = Artifacts(path)
            self._meta = self._continue() if self.resumed else self._begin()
            self.journal = self.open_journal(JOURNAL)
        except BaseException:
            self._lock.release()
            raise

    @property
    def bit_exact(self) -> bool:
        """Whether the whole run was computed in one environment."""
        return self._meta.get("bit_exact") is True

    @property
    def finished(self) -> bool:
        """Whether the run has its result."""
        return RESULT in self.artifacts.names

    @property
    def damaged(self) -> list[str]:
        """Names of all files that are missing or changed, a shortened journal included."""
        short = len(self.journal.records) < self._meta.get("records", 0)
        return [*self.artifacts.damaged, *([JOURNAL] if short else [])]

    def expect(self, **facts: str) -> None:
        """Record what the results depend on (hashes of data, weights, model), or check it.

        Raises UsageError naming the fact that has changed since the run began.
        """
        known: dict[str, str] = self._meta["facts"]
        for name, value in facts.items():
            if known.get(name, value) != value:
                raise UsageError(
                    f"the {name} changed since the run in {self.path} began",
                    "start over with --fresh, or name another directory with --run",
                )
        if not facts.keys() <= known.keys():
            self._save({**self._meta, "facts": {**known, **facts}})

    def publish(self, name: str, writer: Callable[[Path], None]) -> Path:
        """Publish an artifact; see :meth:`Artifacts.publish`.

        With the result, the length of the journal is recorded: a cut at its end would go unnoticed.
        """
        refuse_fork(self._process)
        self.journal.sync()
        if name == RESULT:
            self._save({**self._meta, "records": len(self.journal.records)})
        return self.artifacts.publish(name, writer)

    def publish_json(self, name: str, data: object) -> Path:
        """Publish JSON. Raises ValueError for NaN and infinity."""
        return self.publish(name, text_writer(pretty(data)))

    def open_journal(self, name: str) -> Journal:
        """Open a journal of this run; raises DamagedError for that of another one."""
        owner = self._identity if "journal" in self._meta else None  # older runs have none
        journal = Journal(self.path / name, owner=owner)
        if not journal.belongs_to(self._meta.get("journal")):
            journal.close()
            raise DamagedError(f"{journal.path} is the journal of another run", START_OVER)
        return journal

    def events(self) -> Events:
        """Open a file for curves in the run directory."""
        return Events(self.path, purge=self.resumed)

    def close(self) -> None:
        """Close the journal and release the lock."""
        try:
            self.journal.close()
        finally:
            self._lock.release()

    def _begin(self) -> dict[str, Any]:
        return self._save(
            {
                "format": FORMAT,
                "command": self.config.command,
                "config": self.config.to_json(),
                "environment": self._environment or current_environment(),
                "bit_exact": True,
                "facts": {},
                "journal": "",
            }
        )

    def _identity(self) -> str:
        """Hash that the journals of this run carry: of what was asked, and what is known of it."""
        if not self._meta["journal"]:
            known = [self._meta[name] for name in ("command", "config", "facts")]
            self._save({**self._meta, "journal": digest(canonical(known))[:16]})
        return str(self._meta["journal"])

    def _continue(self) -> dict[str, Any]:
        try:
            meta = self.artifacts.json(CONFIG)
        except DamagedError as error:
            raise DamagedError(str(error.args[0]), START_OVER) from None
        if (
            not isinstance(meta, dict)
            or meta.get("format") != FORMAT
            or not isinstance(meta.get("environment"), dict)
            or not isinstance(meta.get("facts"), dict)
            or type(meta.get("records", 0)) is not int
            or type(meta.get("journal", "")) is not str
        ):
            raise DamagedError(
                f"{self.path / CONFIG} has a format this version does not know",
                "use the version that wrote it, or start over with --fresh",
            )
        if meta.get("command") != self.config.command:
            raise UsageError(
                f"{self.path} holds a run of {meta.get('command')}, not of {self.config.command}",
                "name another directory with --run",
            )
        self._compare(type(self.config).from_json(meta.get("config")).to_json())
        changed = _differences(meta["environment"], self._environment or current_environment())
        if changed:
            self.warnings.append(
                f"this run began with {changed}: its repetition may differ in the last bits"
            )
            return self._save({**meta, "bit_exact": False})
        return meta

    def _compare(self, before: Mapping[str, Any]) -> None:
        for name, value in self.config.to_json().items():
            if before[name] != value:
                raise UsageError(
                    f"the run in {self.path} has {name}={before[name]!r}, not {value!r}",
                    "name another directory with --run, or start over with --fresh",
                )

    def _save(self, meta: dict[str, Any]) -> dict[str, Any]:
        self._meta = meta
        self.artifacts.publish(CONFIG, text_writer(pretty(meta)))
        return meta


def leave_journal(copy: Artifacts) -> None:
    """Record in a copy of a run that no journal belongs to it, so that none is missed."""
    meta = {**copy.json(CONFIG), "records": 0}
    copy.publish(CONFIG, text_writer(pretty(meta)))


def current_environment() -> dict[str, Any]:
    """Return all that decides whether numbers repeat bit for bit: versions, machine, threads."""
    import torch

    return {
        "python": platform.python_version(),
        "platform": f"{sys.platform}-{platform.machine()}",
        "threads": torch.get_num_threads(),
        "versions": {name: _version(name) for name in _VERSIONS},
        "code": _code(),
    }


def _code() -> str:
    """Hash our own sources: a run during which they change is not one computation any more."""
    package = Path(__file__).parents[1]
    folders = {(package / name).resolve() for name in ("", "envs", "agents")}
    files = {file for folder in folders for file in folder.rglob("*.py")}
    return digest("".join(sorted(f"{file.name} {file_digest(file)}\n" for file in files)))[:16]


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Name what differs, as ``torch 2.13.0 instead of 2.14.0``."""
    old, new = ({**side, **side.get("versions", {}), "versions": None} for side in (before, now))
    return ", ".join(
        f"{name} {old.get(name)} instead of {new.get(name)}"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    )


def _clear_temporaries(path: Path) -> None:
    """Remove the files a killed writer left; the lock guarantees that nobody is writing now."""
    with writing(path):
        for file in path.glob(f"{TEMPORARY}*"):
            file.unlink()
