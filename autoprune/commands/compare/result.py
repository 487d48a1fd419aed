"""Result of a comparison of searchers: statistics over seeds, and ``result.json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Self

from autoprune.errors import DamagedError
from autoprune.foundation.statistics import Estimate, estimate
from autoprune.structure.plan import Plan

FORMAT = 1

MEASURES = ("search_score", "test_accuracy", "recovered_accuracy", "seconds")
"""What is known of each search, in the order of the seeds."""


@dataclass(frozen=True)
class Trial:
    """One search: ``scores`` and ``losses`` of its evaluations, in order, and what it ended in.

    Accuracies are on the test split, before and after fine-tuning; ``seconds`` is the wall time of
    the search, evaluations that another searcher had paid for included.
    """

    plan: Plan
    scores: tuple[float, ...]
    losses: tuple[float, ...]
    test_accuracy: float
    recovered_accuracy: float
    seconds: float

    @property
    def search_score(self) -> float:
        """Best score on the search split."""
        return max(self.scores)

    @property
    def best_so_far(self) -> list[float]:
        """Best score after each evaluation."""
        return list(accumulate(self.scores, max))


@dataclass(frozen=True)
class Comparison:
    """Searchers side by side.

    ``trials``: budget -> agent -> one Trial per seed. ``base`` is the dense network's accuracy on
    the test split, ``fractions`` the part of the dense cost that each budget allows.
    """

    budget: str
    evaluations: int
    network: str
    data: str
    metric: str
    finetune_epochs: int
    base: float
    fractions: Mapping[str, float]
    trials: Mapping[str, Mapping[str, tuple[Trial, ...]]]

    def values(self, budget: str, agent: str, measure: str) -> list[float]:
        """Return one measure of ``MEASURES``, by seed."""
        return [float(getattr(trial, measure)) for trial in self.trials[budget][agent]]

    def estimate(self, budget: str, agent: str, measure: str) -> Estimate:
        """Return its mean and 95 % interval over seeds."""
        return estimate(self.values(budget, agent, measure))

    def curve(self, agent: str) -> list[Estimate]:
        """Return the best score so far against evaluations, over seeds; the last one holds on."""
        curves = [trial.best_so_far for trial in self.trials[self.budget][agent]]
        return [
            estimate([curve[min(at, len(curve) - 1)] for curve in curves])
            for at in range(self.evaluations)
        ]

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able object; format 1."""
        return {
            "format": FORMAT,
            "model": self.network,
            "data": self.data,
            "metric": self.metric,
            "finetune_epochs": self.finetune_epochs,
            "budget": self.budget,
            "evaluations": self.evaluations,
            "base": {"test_accuracy": self.base},
            "agents": self._agents(self.budget),
            "budgets": {
                budget: {"fraction": self.fractions[budget], "agents": self._agents(budget)}
                for budget in self.trials
            },
        }

    def _agents(self, budget: str) -> dict[str, Any]:
        return {
            agent: {
                **{measure: self.values(budget, agent, measure) for measure in MEASURES},
                "plans": [trial.plan.to_json() for trial in trials],
                "scores": [list(trial.scores) for trial in trials],
                "losses": [list(trial.losses) for trial in trials],
            }
            for agent, trials in self.trials[budget].items()
        }

    @classmethod
    def from_json(cls, data: object) -> Self:
        """Read what ``to_json`` wrote; raise DamagedError if it is anything else."""
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise DamagedError("not a comparison this version knows", "compare again with --fresh")
        try:
            return cls(
                data["budget"],
                data["evaluations"],
                data["model"],
                data["data"],
                data["metric"],
                data["finetune_epochs"],
                data["base"]["test_accuracy"],
                {budget: found["fraction"] for budget, found in data["budgets"].items()},
                {
                    budget: {agent: _trials(facts) for agent, facts in found["agents"].items()}
                    for budget, found in data["budgets"].items()
                },
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DamagedError(f"the comparison is damaged: {error}", "--fresh") from None


def _trials(facts: Mapping[str, Any]) -> tuple[Trial, ...]:
    columns: Sequence[Sequence[Any]] = [
        facts[name]
        for name in ("plans", "scores", "losses", "test_accuracy", "recovered_accuracy", "seconds")
    ]
    return tuple(
        Trial(Plan.from_json(plan), tuple(scores), tuple(losses), *rest)
        for plan, scores, losses, *rest in zip(*columns, strict=True)
    )
