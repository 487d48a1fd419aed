"""How well the search score predicts the accuracy of a plan after fine-tuning.

Random plans on one budget are scored four ways on the search split: with and without least squares,
with and without adapted batch-norm statistics. Both networks of a plan, with least squares and
without, are then fine-tuned in the same way on a part of the training split. Each way of scoring is
correlated with the accuracy of its own network. Distiller reports correlations of 0.07-0.14 with L1
alone and 0.59-0.75 with least squares (reference: its AMC notebook). The test split is not read:
accuracies are on validation.

python benchmarks/correlation.py --model resnet20 --weights FILE --data DIR [--write]
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from support.reporting import parser, report
from torch import nn

from autoprune.agents.random_search import random_walk
from autoprune.cost.budget import Budget
from autoprune.cost.model import CostModel
from autoprune.data import Split, load_data
from autoprune.data.classification import Classification
from autoprune.envs.walk import WalkContext
from autoprune.networks import zoo
from autoprune.networks.batches import Batches
from autoprune.networks.execution import Form
from autoprune.networks.weights import load_weights
from autoprune.problem.evaluation import Evaluation
from autoprune.problem.problem import PruningProblem
from autoprune.ranking.ordering import Ranking
from autoprune.ranking.rank import rank
from autoprune.ranking.recalibration import Recalibration
from autoprune.structure.analyze import analyze
from autoprune.structure.plan import Plan
from autoprune.structure.slicing import Slicer
from autoprune.training.loop import FitConfig, fit, measure

TASK = Classification()
FEW = FitConfig(epochs=1, batch_size=128, learning_rate=0.02)
NAMES = {"l1": "L1", "regression": "least squares"}


@dataclass(frozen=True)
class Point:
    """One plan: its score and minus its loss by every way, and the accuracies after fine-tuning."""

    before: dict[str, dict[str, float]]
    after: dict[str, float]


@dataclass(frozen=True)
class Bench:
    """What scores and fine-tunes plans."""

    slicer: Slicer
    rankings: dict[str, Ranking]
    moved: Recalibration
    search: Split
    validation: Split
    training: Split

    def point(self, plan: Plan) -> Point:
        """Score a plan in every way and fine-tune its two networks."""
        before, after = {}, {}
        for name, ranking in self.rankings.items():
            for moved in (None, self.moved):
                network = build(self.slicer, ranking, plan, moved)
                found = measure(network, self.search, TASK)
                way = NAMES[name] + (" + BN" if moved else "")
                before[way] = {"accuracy": found.score, "loss": -found.loss}
            fit(network.requires_grad_(True), self.training, TASK, FEW)
            after[NAMES[name]] = measure(network, self.validation, TASK).score
        return Point(before, after)


def main() -> None:
    """Score, fine-tune, correlate."""
    options = parser(__doc__ or "")
    options.add_argument("--model", required=True)
    options.add_argument("--weights", required=True)
    options.add_argument("--data", required=True)
    options.add_argument("--budget", default="0.5flops")
    options.add_argument("--plans", type=int, default=30)
    options.add_argument("--images", type=int, default=2500, help="scored, of each split")
    options.add_argument("--training", type=int, default=10_000, help="images of fine-tuning")
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    bench, problem = prepare(chosen)
    points = []
    for number, plan in enumerate(plans(problem, chosen.plans), 1):
        points.append(bench.point(plan))
        print(f"{number}/{chosen.plans}: {points[-1].after}", flush=True)
    report(
        f"correlation_{chosen.model}_{Path(chosen.data).name}",
        f"Search score and accuracy after fine-tuning, {chosen.model}, {chosen.budget}",
        [row(way, points) for way in points[0].before],
        [
            f"Pearson's r over {chosen.plans} random plans, with its 95 % interval (Fisher's z);"
            f" {len(bench.search):,} search and {len(bench.validation):,} validation images;"
            f" fine-tuned for one epoch of {chosen.training:,} training images. Networks without"
            " BN moved are fine-tuned with it moved. An accuracy on so many images has a standard"
            f" error of {np.sqrt(0.8 * 0.2 / len(bench.validation)):.2%}.",
        ],
        chosen.write,
    )


def prepare(chosen: argparse.Namespace) -> tuple[Bench, PruningProblem]:
    """Load, rank both ways, and say what a plan on budget is."""
    data = load_data(chosen.data)
    model = zoo.build(chosen.model).eval()
    load_weights(model, chosen.weights)
    structure = analyze(model, data.example(TASK))
    rankings = {
        name: rank(model, structure, name, task=TASK, calibration=data.calibration(1000))
        for name in NAMES
    }
    calibration = Batches(data.calibration(256), 128, model, Form(), seed=0)
    bench = Bench(
        Slicer(model, structure),
        rankings,
        Recalibration(model, TASK, calibration),
        data.search.take(chosen.images),
        data.validation.take(chosen.images),
        data.train.take(chosen.training, 0),
    )
    cost = CostModel(structure)
    budget = Budget.parse(chosen.budget).bind(cost)
    unscored = Evaluation(0.0, 0.0)
    return bench, PruningProblem(
        structure, cost, budget, rankings["regression"], lambda plan: unscored
    )


def plans(problem: PruningProblem, number: int) -> list[Plan]:
    """Draw different random walks."""
    context, rng = WalkContext.of(problem), np.random.default_rng(0)
    found: dict[Plan, None] = {}
    while len(found) < number:
        found[random_walk(context, rng)] = None
    return list(found)


def build(slicer: Slicer, ranking: Ranking, plan: Plan, moved: Recalibration | None) -> nn.Module:
    """Build the compact network of a plan; its batch statistics follow if told to."""
    weights = ranking.weights(plan) | (moved.references if moved else {})
    network = slicer.build(ranking.kept(plan), weights)
    if moved:
        moved(network)
    return network


def row(way: str, points: list[Point]) -> dict[str, str]:
    """Correlate one way of scoring with what became of its network by fine-tuning."""
    after = [point.after[way.removesuffix(" + BN")] for point in points]
    scores = {name: [point.before[way][name] for point in points] for name in points[0].before[way]}
    return {
        "scored by": way,
        "mean accuracy before": f"{np.mean(scores['accuracy']):.2%}",
        "after fine-tuning": f"{np.mean(after):.2%} ({min(after):.2%} to {max(after):.2%})",
        **{f"r of {name}": correlation(values, after) for name, values in scores.items()},
    }


def correlation(scores: list[float], after: list[float]) -> str:
    """Write Pearson's r with its 95 % interval by Fisher's z-transformation."""
    r = float(np.corrcoef(scores, after)[0, 1])
    half = 1.96 / np.sqrt(len(scores) - 3)
    low, high = np.tanh(np.arctanh(r) + np.array([-half, half]))
    return f"{r:.2f} ({low:.2f} to {high:.2f})"


if __name__ == "__main__":
    main()
