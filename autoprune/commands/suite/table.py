"""Frozen table of evaluated plans: its files, their hashes, and its tasks.

Format 1 of a suite, a directory:

- ``suite.json``: its version, and the sha256 of each table's ``table.json``.
- ``NAME/table.json``: what was recorded, the problem (:mod:`autoprune.commands.suite.frozen`), the
  tasks, the surrogate's settings and its error, and the sha256 of ``plans.zlib``.
- ``NAME/plans.zlib``: safetensors, compressed, so that nothing but Python opens it, which a
  searcher's process watches: ``counts`` [plans, groups] int16; ``losses`` and ``scores``
  [plans, 3] float32, on the search, validation and test split; ``held`` [plans] uint8: 1 for plans
  that the surrogate was never fitted to; ``dual`` [fitted plans, 6] float64, the surrogate.

Plans do not depend on a cost, so a table serves tasks on several costs.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from autoprune.commands.suite.frozen import FrozenProblem
from autoprune.commands.suite.surrogate import Quality, Surrogate
from autoprune.errors import DamagedError, UsageError
from autoprune.foundation.files import (
    make_directory,
    open_regular,
    pretty,
    read_json,
    replace_text,
)

FORMAT: Final = 1

INDEX, FACTS, PLANS = "suite.json", "table.json", "plans.zlib"

LARGEST: Final = 2**28
"""Most bytes that plans may take: what claims more is none of ours."""

SPLITS: Final = ("search", "validation", "test")

_UNREADABLE: Final = (KeyError, TypeError, ValueError, AttributeError)

AGAIN: Final = "get the folder of tables again, as the repository has it"


@dataclass(frozen=True)
class Measured:
    """Loss and score of a plan's network on each of ``SPLITS``."""

    losses: tuple[float, ...]
    scores: tuple[float, ...]


@dataclass(frozen=True)
class SuiteTask:
    """Task of a table: its name and its budgets."""

    name: str
    budgets: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Table:
    """Frozen table: a problem, and plans with their losses and scores on three splits.

    ``about``: network, data, license, samples of each split, versions, how plans were evaluated.
    ``whole``: every plan within the budgets is in it. ``quality``: the surrogate's error at each
    budget, on plans that it was not fitted to; empty without a surrogate.
    """

    name: str
    about: Mapping[str, Any]
    problem: FrozenProblem
    tasks: tuple[SuiteTask, ...]
    counts: NDArray[np.int64]
    losses: NDArray[np.float64]
    scores: NDArray[np.float64]
    held: NDArray[np.bool_]
    whole: bool
    surrogate: Surrogate | None
    quality: Mapping[str, Quality]

    @cached_property
    def rows(self) -> dict[tuple[int, ...], int]:
        """Row of each plan, by its counts."""
        return {tuple(map(int, counts)): row for row, counts in enumerate(self.counts)}

    def write(self, folder: Path) -> str:
        """Write the table's files; return the sha256 of ``table.json``."""
        make_directory(folder)
        arrays: dict[str, NDArray[Any]] = {
            "counts": self.counts.astype(np.int16),
            "losses": self.losses.astype(np.float32),
            "scores": self.scores.astype(np.float32),
            "held": self.held.astype(np.uint8),
        }
        if self.surrogate is not None:
            arrays["dual"] = self.surrogate.dual
        content = zlib.compress(save(arrays), 9)
        (folder / PLANS).write_bytes(content)
        facts = {
            "format": FORMAT,
            "name": self.name,
            "about": dict(self.about),
            "tasks": [{"name": task.name, "budgets": list(task.budgets)} for task in self.tasks],
            "whole": self.whole,
            "surrogate": self.surrogate and self.surrogate.to_json(),
            "quality": {budget: found.to_json() for budget, found in self.quality.items()},
            "costs": _costs(self.problem),
            "problem": self.problem.to_json(),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
        text = pretty(facts)
        replace_text(folder / FACTS, text)
        return hashlib.sha256(text.encode()).hexdigest()

    @classmethod
    def read(cls, folder: Path, sha256: str) -> Self:
        """Read a table whose ``table.json`` has that hash.

        Raises DamagedError, naming the file, if a hash differs, the format is another, or the costs
        that this version counts are not those of the table.
        """
        _check(folder / FACTS, sha256)
        facts = read_json(folder / FACTS)
        if not isinstance(facts, dict) or facts.get("format") != FORMAT:
            found = facts.get("format") if isinstance(facts, dict) else None
            raise DamagedError(
                f"{folder / FACTS} has format {found}, and this version reads format {FORMAT}",
                AGAIN,
            )
        try:
            _check(folder / PLANS, facts["sha256"])
            content = zlib.decompressobj().decompress((folder / PLANS).read_bytes(), LARGEST)
            table = cls._of(facts, content)
        except (*_UNREADABLE, SafetensorError, zlib.error) as error:
            raise DamagedError(f"{folder / FACTS} is damaged: {error}", AGAIN) from None
        if _costs(table.problem) != facts["costs"]:
            raise DamagedError(
                f"{folder / FACTS} counts costs in another way than this version", AGAIN
            )
        return table

    @classmethod
    def _of(cls, facts: Mapping[str, Any], content: bytes) -> Self:
        arrays = load(content)
        problem = FrozenProblem.from_json(facts["problem"])
        counts = arrays["counts"].astype(np.int64)
        held = arrays["held"].astype(bool)
        surrogate = None
        if facts["surrogate"] is not None:
            surrogate = Surrogate.from_json(
                facts["surrogate"], problem, counts[~held], arrays["dual"]
            )
        return cls(
            facts["name"],
            facts["about"],
            problem,
            tuple(SuiteTask(one["name"], tuple(one["budgets"])) for one in facts["tasks"]),
            counts,
            arrays["losses"].astype(np.float64),
            arrays["scores"].astype(np.float64),
            held,
            bool(facts["whole"]),
            surrogate,
            {budget: Quality(**found) for budget, found in facts["quality"].items()},
        )


@dataclass(frozen=True)
class SuiteIndex:
    """What ``suite.json`` says: the suite's version, and the hash of each table."""

    version: str
    tables: Mapping[str, str]

    def write(self, place: Path) -> None:
        """Write ``suite.json``."""
        data = {"format": FORMAT, "version": self.version, "tables": dict(self.tables)}
        replace_text(place / INDEX, pretty(data))

    @classmethod
    def read(cls, place: Path) -> Self:
        """Read ``suite.json``; raise UsageError if there is none, DamagedError for another."""
        if not (place / INDEX).is_file():
            raise UsageError(
                f"there are no tables in {place}",
                "name the folder benchmarks/suite of the repository with --tables",
            )
        data = read_json(place / INDEX)
        try:
            if data["format"] != FORMAT:
                raise DamagedError(
                    f"{place / INDEX} has format {data['format']}, and this version reads format"
                    f" {FORMAT}",
                    AGAIN,
                )
            tables = {str(name): str(sha256) for name, sha256 in data["tables"].items()}
            return cls(str(data["version"]), tables)
        except (KeyError, TypeError, AttributeError) as error:
            raise DamagedError(f"{place / INDEX} is damaged: {error}", AGAIN) from None


def _costs(problem: FrozenProblem) -> dict[str, int]:
    """Return the dense costs, by which another way of counting shows."""
    cost = problem.cost
    return {
        "macs": cost.macs.dense,
        "parameters": cost.parameters.dense,
        "bytes": cost.bytes.dense,
        "energy": cost.energy.dense,
    }


def _check(path: Path, sha256: str) -> None:
    if not path.is_file():
        raise DamagedError(f"{path} is missing", AGAIN)
    with open_regular(path) as stream:
        found = hashlib.sha256(stream.read()).hexdigest()
    if found != sha256:
        raise DamagedError(f"{path} is not the file of this suite: its sha256 differs", AGAIN)
