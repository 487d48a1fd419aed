"""How well the search score tells what accuracy a plan has after fine-tuning.

Random plans on one budget are scored three ways on the search split (L1 alone; L1 with batch-norm
statistics moved; least squares with them moved), then built and fine-tuned alike on a part of the
training split. Distiller saw correlations of 0.07-0.14 with L1 alone and 0.59-0.75 with least
squares (reference: its AMC notebook). The test split is not read: accuracies are on validation.

python benchmarks/correlation.py --model resnet20 --weights FILE --data DIR [--write]
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from reporting import parser, report
from torch import nn

from autoprune import zoo
from autoprune.agents.random_search import random_walk
from autoprune.analysis import analyze
from autoprune.batches import Batches
from autoprune.budget import Budget
from autoprune.cost import CostModel
from autoprune.data import load_data
from autoprune.envs import core
from autoprune.execution import Form
from autoprune.models import load_weights
from autoprune.plan import Plan
from autoprune.problem import Evaluation, PruningProblem
from autoprune.ranking import Ranking, rank
from autoprune.recalibration import Recalibration
from autoprune.recover import FitConfig, fit, measure
from autoprune.slicing import Slicer
from autoprune.task import Classification

TASK = Classification()
FEW = FitConfig(epochs=1, batch_size=128, learning_rate=0.02)
Scores = dict[str, list[float]]


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
    data = load_data(chosen.data)
    model = zoo.build(chosen.model).eval()
    load_weights(model, chosen.weights)
    structure = analyze(model, data.example(TASK))
    cost = CostModel(structure)
    rankings = {
        name: rank(model, structure, name, task=TASK, calibration=data.calibration(1000))
        for name in ("l1", "regression")
    }
    slicer = Slicer(model, structure)
    calibration = Batches(data.calibration(256), 128, model, Form(), seed=0)
    moved = Recalibration(model, TASK, calibration)
    ways: dict[str, Callable[[Plan], nn.Module]] = {
        "L1": lambda plan: build(slicer, rankings["l1"], plan, None),
        "L1 + BN": lambda plan: build(slicer, rankings["l1"], plan, moved),
        "least squares + BN": lambda plan: build(slicer, rankings["regression"], plan, moved),
    }
    budget = Budget.parse(chosen.budget).bind(cost)
    problem = PruningProblem(
        structure, cost, budget, rankings["regression"], lambda plan: Evaluation(0.0, 0.0)
    )
    search, validation = (part.take(chosen.images) for part in (data.search, data.validation))
    training = data.train.take(chosen.training, 0)
    before: dict[str, Scores] = {way: {"accuracy": [], "loss": []} for way in ways}
    after: list[float] = []
    for number, plan in enumerate(plans(problem, chosen.plans), 1):
        for way, make in ways.items():
            network = make(plan)
            found = measure(network, search, TASK)
            before[way]["accuracy"].append(found.score)
            before[way]["loss"].append(-found.loss)
        fit(network.requires_grad_(True), training, TASK, FEW)
        after.append(measure(network, validation, TASK).score)
        print(f"{number}/{chosen.plans}: {after[-1]:.4f}", flush=True)
    report(
        f"correlation_{chosen.model}_{Path(chosen.data).name}",
        f"Search score and accuracy after fine-tuning, {chosen.model}, {chosen.budget}",
        [row(way, scores, after) for way, scores in before.items()],
        [
            f"Pearson's r over {chosen.plans} random plans; {chosen.images} search and validation"
            f" images; fine-tuned for one epoch of {chosen.training} training images; accuracies"
            f" after it from {min(after):.2%} to {max(after):.2%}.",
        ],
        chosen.write,
    )


def plans(problem: PruningProblem, number: int) -> list[Plan]:
    """Draw different random walks."""
    course, rng = core.Course.of(problem), np.random.default_rng(0)
    found: dict[Plan, None] = {}
    while len(found) < number:
        found[random_walk(course, rng)] = None
    return list(found)


def build(slicer: Slicer, ranking: Ranking, plan: Plan, moved: Recalibration | None) -> nn.Module:
    """Build the compact network of a plan; its batch statistics follow if told to."""
    weights = ranking.weights(plan) | (moved.references if moved else {})
    network = slicer.build(ranking.kept(plan), weights)
    if moved:
        moved(network)
    return network


def row(way: str, scores: Scores, after: list[float]) -> dict[str, str]:
    """Correlate one way of scoring with the accuracies after fine-tuning."""
    return {
        "scored by": way,
        "mean accuracy before": f"{np.mean(scores['accuracy']):.2%}",
        **{f"r of {name}": f"{np.corrcoef(scores[name], after)[0, 1]:.2f}" for name in scores},
    }


if __name__ == "__main__":
    main()
