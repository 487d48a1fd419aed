"""Configuration of ``autoprune compare``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated, ClassVar

import tyro

from autoprune.errors import UsageError
from autoprune.pipeline.config import EvaluatingConfig, SearchConfig
from autoprune.pipeline.options import SearcherNames

Specs = Annotated[
    tuple[str, ...], tyro.conf.arg(metavar="SPEC ...", help_behavior_hint="(default: none)")
]


@dataclass(frozen=True, kw_only=True)
class CompareConfig(EvaluatingConfig):
    """Run several searchers on equal evaluations, over several seeds, side by side."""

    command: ClassVar[str] = "compare"
    least: ClassVar[Mapping[str, int]] = {**EvaluatingConfig.least, "seeds": 1}

    budgets: Specs = ()
    """Further budgets, for the plot of accuracy against budget."""
    agents: SearcherNames = ("uniform", "random", "dp", "evolution", "ddpg")
    evaluations: int = 100
    """Plans that each searcher may try."""
    seeds: int = 5
    """Searches of each agent: seeds --seed, --seed + 1, ... of calibration, search split, agent."""
    finetune_epochs: int = 2
    """Epochs of training after pruning, the same for all; 0 leaves it out."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.agents:
            raise UsageError("--agents names none", "--agents uniform dp ddpg")
        if len(set(self.agents)) < len(self.agents) or self.budget in self.budgets:
            raise UsageError("an agent or a budget is named twice", "name each once")

    @property
    def former_title(self) -> None:
        """None: comparisons have always been named so."""
        return None

    @property
    def all_seeds(self) -> range:
        """Seed of each repetition."""
        return range(self.seed, self.seed + self.seeds)

    def search(self, budget: str, seed: int) -> SearchConfig:
        """Return the search that one budget and one seed stand for."""
        shared = {item.name: getattr(self, item.name) for item in fields(EvaluatingConfig)}
        own = {"budget": budget, "seed": seed, "run": str(self.directory)}
        return SearchConfig(**(shared | own))
