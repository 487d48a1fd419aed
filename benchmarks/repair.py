"""Repair in closed form, ours beside GRAIL's, at equal plans: no labels, no training.

python benchmarks/repair.py --model resnet20 --weights FILE --data DIR [--write]

The same numbers of units go from every group; which ones, and how the weights that stay are
repaired, is what differs.
"""

from __future__ import annotations

import argparse
import copy
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from support.grail import Grams
from support.reporting import parser, percent, report
from torch import nn

from autoprune.foundation.statistics import difference, estimate
from autoprune.networks import zoo
from autoprune.networks.batches import Batches
from autoprune.networks.execution import Form
from autoprune.networks.score import measure
from autoprune.networks.weights import load_weights
from autoprune.pipeline.posing import Problem, pose
from autoprune.ranking.ordering import Ranking
from autoprune.ranking.rank import rank
from autoprune.ranking.recalibration import Recalibration
from autoprune.structure.plan import Plan
from autoprune.structure.slicing import Slicer

SAMPLES = 1000
OURS = "ours, ours"
Rows = dict[str, list[float]]


def main() -> None:
    """Repair for every seed, and report."""
    options = parser(__doc__ or "")
    options.add_argument("--model", required=True)
    options.add_argument("--weights", required=True)
    options.add_argument("--data", required=True)
    options.add_argument("--budget", default="0.5flops")
    options.add_argument("--seeds", type=int, default=5)
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    scores: dict[str, Rows] = {"uniform": {}, "dp": {}}
    seconds: Rows = {}
    for seed in range(chosen.seeds):
        dense = one_seed(chosen, seed, scores, seconds)
    report(
        f"repair_{chosen.model}_{Path(chosen.data).name}_{chosen.budget}",
        f"Repair in closed form: {chosen.model}, {Path(chosen.data).name}, {chosen.budget}",
        [
            row(plan, name, found, dense, seconds)
            for plan, found in scores.items()
            for name in found
        ],
        [
            f"Test accuracy in percent, mean +- 95 % interval (t) over {chosen.seeds} seeds, each"
            f" with its own {SAMPLES} calibration images, without labels for GRAIL; our selection"
            " weighs errors by the loss. Dense network:"
            f" {100 * dense:.2f}. `units, repair`: how the units that stay were selected, and how"
            " the weights were repaired. GRAIL: from the equations of arXiv:2602.23795, beside"
            " recalibrated batch norms, which all rows have.",
        ],
        chosen.write,
    )


def one_seed(
    chosen: argparse.Namespace, seed: int, scores: dict[str, Rows], seconds: Rows
) -> float:
    """Add the scores of a seed; return the dense network's."""
    model = zoo.build(chosen.model).eval()
    load_weights(model, chosen.weights)
    problem = pose(model, chosen.data, chosen.budget, depth="off", seed=seed, progress=False)
    planned = {"uniform": problem.budget.uniform(), "dp": first_of("dp", problem)}
    test, task = problem.session.inputs.test, problem.session.inputs.task
    for kind, plan in planned.items():
        for name, make in networks(problem, plan).items():
            began = time.process_time()
            network = make()
            seconds.setdefault(name, []).append(time.process_time() - began)
            score = measure(network, test, task).score
            scores[kind].setdefault(name, []).append(score)
            print(f"seed {seed}, {kind}, {name}: {100 * score:.2f}", file=sys.stderr, flush=True)
    return measure(problem.model, test, task).score


def first_of(searcher: str, problem: Problem) -> Plan:
    """Return the plan that a searcher evaluates first: the knapsack's own, for dp."""
    return problem.search(searcher, 1, progress=False).history[0].plan


def networks(problem: Problem, plan: Plan) -> dict[str, Callable[[], nn.Module]]:
    """Return what makes the compact networks of a plan, by selection and repair."""
    inputs, structure, model = problem.session.inputs, problem.session.structure, problem.model
    calibration = inputs.calibration(SAMPLES, problem.session.seeds)
    grams = Grams(model, inputs.task, calibration)
    slicer = Slicer(model, structure)
    batches = Batches(calibration, 128, model, Form(), seed=seed_of(problem))
    recalibrate = Recalibration(model, inputs.task, batches)
    selections: dict[str, Ranking] = {
        "magnitude": rank(model, structure, "l1"),
        "Wanda": rank(grams.scaled(), structure, "l1"),
        "ours": problem.ranking,
    }

    def made(selection: str, *, repaired: bool) -> nn.Module:
        kept = selections[selection].kept(plan)
        weights = grams.repaired(slicer.indices(kept)) if repaired else {}
        network = slicer.build(kept, weights | recalibrate.references)
        recalibrate(network)
        return network

    return {
        "magnitude, none": lambda: made("magnitude", repaired=False),
        "magnitude, GRAIL": lambda: made("magnitude", repaired=True),
        "Wanda, GRAIL": lambda: made("Wanda", repaired=True),
        "ours, GRAIL": lambda: made("ours", repaired=True),
        OURS: lambda: copy.deepcopy(problem.network(plan)),
    }


def seed_of(problem: Problem) -> int:
    """Return the seed of the order in which calibration images come."""
    return problem.session.seeds.calibration


def row(plan: str, name: str, found: Rows, dense: float, seconds: Rows) -> dict[str, Any]:
    """Make the row of a repair at a plan."""
    own, ours = found[name], found[OURS]
    behind = "" if name == OURS else percent(difference(ours, own))
    return {
        "plan": plan,
        "units, repair": name,
        "test": percent(estimate(own)),
        "change": f"{100 * (estimate(own).mean - dense):+.2f}",
        "ours minus it, paired": behind,
        "seconds": f"{sum(seconds[name]) / len(seconds[name]):.1f}",
    }


if __name__ == "__main__":
    main()
