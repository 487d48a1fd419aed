"""Result of a comparison of searchers: statistics over seeds, ``result.json``, and plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import isinf
from pathlib import Path
from typing import Any, Self

from autoprune.errors import DamagedError
from autoprune.foundation.charts import Curve, canvas, draw_bars, draw_curves, save
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


def draw_search(comparison: Comparison, path: Path) -> None:
    """Plot the best score so far against evaluations, and the test accuracies."""
    budget, agents = comparison.budget, list(comparison.trials[comparison.budget])
    figure, (left, right) = canvas(1, 2)
    curves = {agent: comparison.curve(agent) for agent in agents}
    draw_curves(
        left,
        {
            agent: Curve(
                range(1, len(found) + 1),
                [100 * item.mean for item in found],
                *_band(found),
            )
            for agent, found in curves.items()
        },
    )
    left.set(xlabel="evaluations", ylabel=f"best {comparison.metric} so far, search split, %")
    measures = {"pruned": MEASURES[1]}
    if comparison.finetune_epochs:
        measures["fine-tuned"] = MEASURES[2]
    draw_bars(
        right,
        agents,
        {
            label: [100 * comparison.estimate(budget, agent, measure).mean for agent in agents]
            for label, measure in measures.items()
        },
    )
    lowest = min(100 * value for a in agents for value in comparison.values(budget, a, MEASURES[1]))
    right.set(ylim=(max(0.0, lowest - 5), None), ylabel=f"test {comparison.metric}, %")
    right.axhline(100 * comparison.base, color="gray", lw=1, ls="--")
    save(figure, path)


def draw_budgets(comparison: Comparison, path: Path) -> None:
    """Plot accuracy against budget, before and after fine-tuning: the Pareto fronts."""
    figure, places = canvas(1, 2)
    budgets = sorted(comparison.trials, key=lambda budget: comparison.fractions[budget])
    for axes, measure, label in zip(places, MEASURES[1:3], ("pruned", "fine-tuned"), strict=True):
        found = {
            agent: [comparison.estimate(budget, agent, measure) for budget in budgets]
            for agent in comparison.trials[comparison.budget]
        }
        draw_curves(
            axes,
            {
                agent: Curve(
                    [comparison.fractions[budget] for budget in budgets],
                    [100 * item.mean for item in items],
                    *_band(items),
                )
                for agent, items in found.items()
            },
            markers=True,
        )
        axes.axhline(100 * comparison.base, color="gray", lw=1, ls="--")
        axes.set(xlabel="budget, of the dense cost", ylabel=f"test {comparison.metric}, {label}, %")
    save(figure, path)


def _band(found: Sequence[Estimate]) -> tuple[list[float], list[float]] | tuple[()]:
    """Bound the intervals, in percent; nothing if one seed leaves them open."""
    if any(isinf(item.margin) for item in found):
        return ()
    low, high = ([100 * (e.mean + way * e.margin) for e in found] for way in (-1, 1))
    return [max(value, 0.0) for value in low], [min(value, 100.0) for value in high]


def _trials(facts: Mapping[str, Any]) -> tuple[Trial, ...]:
    columns: Sequence[Sequence[Any]] = [
        facts[name]
        for name in ("plans", "scores", "losses", "test_accuracy", "recovered_accuracy", "seconds")
    ]
    return tuple(
        Trial(Plan.from_json(plan), tuple(scores), tuple(losses), *rest)
        for plan, scores, losses, *rest in zip(*columns, strict=True)
    )
