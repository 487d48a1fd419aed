"""Configuration of ``autoprune suite``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Final

import tyro

from autoprune.agents.registry import SEARCHERS
from autoprune.errors import UsageError
from autoprune.foundation.config import RunConfig, check_numbers

HOME: Final = Path("benchmarks") / "suite"
"""Where the repository keeps the tables."""

Names = Annotated[
    tuple[str, ...],
    tyro.conf.arg(
        metavar="NAME ...",
        help=f"Searchers: {', '.join(SEARCHERS)}, a plug-in, or file.py:Searcher.",
    ),
]
Some = Annotated[
    tuple[str, ...], tyro.conf.arg(metavar="NAME ...", help_behavior_hint="(default: all)")
]


@dataclass(frozen=True, kw_only=True)
class SuiteConfig(RunConfig):
    """Run searchers on frozen tables of evaluated plans, with equal evaluations, side by side."""

    command: ClassVar[str] = "suite"
    least: ClassVar[Mapping[str, int]] = {"evaluations": 1, "seeds": 1, "seed": 0}

    searchers: Names = ("uniform", "random", "greedy", "dp", "evolution", "ddpg")
    tasks: Some = ()
    """Tasks to run; docs/suite.md lists them."""
    budgets: Some = ()
    """Budgets to run, of those that a task has."""
    evaluations: int = 100
    """Plans that each searcher may try."""
    seeds: int = 5
    """Searches of each searcher at each budget: seeds --seed, --seed + 1, ..."""
    seed: int = 0
    """First seed."""
    limit: float = 300.0
    """Seconds after which a search that has not ended counts for nothing, evaluations left out."""
    compute: Annotated[
        tuple[str, ...],
        tyro.conf.arg(metavar="TABLE[=DATA] ...", help_behavior_hint="(default: none)"),
    ] = ()
    """Tables whose networks evaluate what is not recorded; =DATA says where their data are."""
    tables: Annotated[
        str | None,
        tyro.conf.arg(metavar="DIR", help_behavior_hint="(default: benchmarks/suite)"),
    ] = None
    """Directory of the tables."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_numbers(self, **self.least)
        if not self.searchers:
            raise UsageError("--searchers names none", "--searchers uniform dp mine.py:Mine")
        if not self.limit > 0:
            raise UsageError(f"--limit must be more than 0 seconds, not {self.limit:g}")

    @property
    def sources(self) -> dict[str, str | None]:
        """Where the data are of the tables whose networks evaluate, None for embedded ones."""
        parts = (one.partition("=") for one in self.compute)
        return {name: place or None for name, _, place in parts}

    @property
    def title(self) -> str:
        """Readable name of the run."""
        return f"suite-{len(self.searchers)}-searchers-{self.evaluations}"

    @property
    def all_seeds(self) -> range:
        """Seed of each repetition."""
        return range(self.seed, self.seed + self.seeds)

    @property
    def place(self) -> Path:
        """Directory of the tables: as named, here, or in the checkout that this package is of."""
        if self.tables is not None:
            return Path(self.tables)
        checkout = Path(__file__).parents[3] / HOME
        return HOME if HOME.is_dir() or not checkout.is_dir() else checkout
