"""A trained network, ranked and bound to a budget with the samples of one seed."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Self

from support.reporting import parser
from torch import nn

from autoprune.agents.base import Searcher
from autoprune.cost.bound_budget import BoundBudget
from autoprune.cost.budget import Budget
from autoprune.cost.model import CostModel
from autoprune.data import Data, Split, load_data
from autoprune.data.classification import Classification
from autoprune.networks import zoo
from autoprune.networks.weights import load_weights
from autoprune.pipeline.tuning import SampleConfig
from autoprune.problem.evaluator import Evaluator, EvaluatorParts
from autoprune.problem.ledger import Ledger, Record
from autoprune.problem.pool import ScorerPool
from autoprune.problem.problem import PruningProblem
from autoprune.problem.racing import RacingConfig
from autoprune.ranking.ordering import Ranking
from autoprune.ranking.rank import rank
from autoprune.structure.analyze import analyze

TASK = Classification()

BEST = 5
"""Plans of least search loss whose mean benchmarks report: one alone is chance."""


def options_of(description: str) -> argparse.ArgumentParser:
    """Return the options of every benchmark that poses a problem."""
    options = parser(description)
    options.add_argument("--model", default="resnet20")
    options.add_argument("--weights", required=True)
    options.add_argument("--data", required=True)
    options.add_argument("--budget", default="0.5flops")
    options.add_argument("--evaluations", type=int, default=100)
    return options


@dataclass(frozen=True)
class Posed:
    """The network, its ranking, the budget, and the samples."""

    model: nn.Module
    budget: BoundBudget
    ranking: Ranking
    data: Data
    seed: int

    @classmethod
    def of(cls, chosen: argparse.Namespace, seed: int) -> Self:
        """Load, rank and bind the budget, each with the samples of a seed."""
        data = load_data(chosen.data, seed)
        model: nn.Module = zoo.build(chosen.model).eval()
        load_weights(model, chosen.weights)
        structure = analyze(model, data.example(TASK))
        samples = data.calibration(SampleConfig().ranking, seed)
        ranking = rank(model, structure, "regression", task=TASK, calibration=samples, seed=seed)
        budget = Budget.parse(chosen.budget).bind(CostModel(structure))
        return cls(model, budget, ranking, data, seed)

    def evaluator(
        self, split: Split, statistics: int, racing: RacingConfig | None = None
    ) -> Evaluator:
        """Make what scores plans on a split, statistics moved by so many samples."""
        samples = self.data.calibration(statistics, self.seed)
        structure = self.budget.cost.structure
        parts = EvaluatorParts(
            self.model, structure, self.ranking, TASK, split, samples, racing or RacingConfig()
        )
        return Evaluator(parts)

    def search(self, agent: Searcher, score: Evaluator, evaluations: int) -> tuple[Record, ...]:
        """Let a searcher spend its evaluations; plans race as in ``autoprune search``."""
        pool = ScorerPool(score, 1, evaluations)
        cost = self.budget.cost
        problem = PruningProblem(cost.structure, cost, self.budget, self.ranking, pool)
        ledger = Ledger(problem, evaluations)
        agent.search(problem, ledger, self.seed)
        return ledger.history


def best_of(history: tuple[Record, ...]) -> list[Record]:
    """Return the few records of least loss."""
    return sorted(history, key=lambda record: record.evaluation.loss)[:BEST]
