"""What error curves predict before any evaluation: relative errors, and weighted by the loss.

Two rankings differ in one thing. In the first an error is relative to the output of its layer,
whatever the layer; in the second it is weighted by its effect on the loss (`autoprune search`).
Measured for both: the correlation of a plan's summed error with its loss, and the loss of the plan
of least error. Plans are those of either kind of curve with random coefficients. All are scored on
validation images that no ranking saw, with statistics adapted; neither the search split nor the
test split is read.

python benchmarks/error_curves.py --networks resnet20=FILE resnet56=FILE --data DIR [--write]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import torch
from support.posed import TASK, Posed
from support.reporting import parser, report

from autoprune.agents.initial_plans import least_error
from autoprune.cost.budget import Budget
from autoprune.envs.walk import curves
from autoprune.pipeline.tuning import SampleConfig
from autoprune.problem.evaluator import Evaluator
from autoprune.problem.problem import PruningProblem
from autoprune.ranking.consumers import find_consumers
from autoprune.ranking.gram import DEFAULT, collect
from autoprune.ranking.ordering import Ranking
from autoprune.ranking.regression import eliminated, refitting
from autoprune.structure.plan import Plan

SPREAD = 0.5
"""Standard deviation of the logarithm of a coefficient."""

PLANS = 12
"""Drawn of each kind of curves."""


def main() -> None:
    """Rank every network twice, score plans and report."""
    options = parser(__doc__ or "")
    options.add_argument("--networks", nargs="+", required=True, help="MODEL=WEIGHTS")
    options.add_argument("--data", required=True)
    options.add_argument("--budgets", default="0.3flops,0.5flops")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--trained", default="", help="how the networks were trained, in words")
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    rows = [row for spec in chosen.networks for row in rows_of(chosen, *spec.split("=", 1))]
    report(
        "error_curves",
        "Plans of least error: relative errors, and errors weighted by the loss",
        rows,
        [
            f"Seed {chosen.seed}; {2 * PLANS} plans a row. r: correlation of the sum of errors with"
            " the loss over these plans. rise: the loss that the second curves predict for"
            f" their own plan beside the measured one. No evaluation chose a plan. {chosen.trained}"
        ],
        chosen.write,
    )


def rows_of(chosen: argparse.Namespace, model: str, weights: str) -> Iterator[Mapping[str, str]]:
    """Yield one row per budget of a network."""
    asked = argparse.Namespace(model=model, weights=weights, data=chosen.data, budget="1flops")
    posed = Posed.of(asked, chosen.seed)
    score = posed.evaluator(posed.data.validation, SampleConfig().ranking)
    rankings = {"alike": alike(posed), "by the loss": posed.ranking}
    for text in chosen.budgets.split(","):
        budget = Budget.parse(text).bind(posed.budget.cost)
        problems = {
            name: PruningProblem(budget.cost.structure, budget.cost, budget, ranking, score)
            for name, ranking in rankings.items()
        }
        yield {"network": model, "budget": text, **row(problems, score, chosen.seed)}


def alike(posed: Posed) -> Ranking:
    """Rank the same units in the same order, every layer's relative error counting alike."""
    structure, samples = (
        posed.budget.cost.structure,
        posed.data.calibration(SampleConfig().ranking, posed.seed),
    )
    consumers = find_consumers(posed.model, structure)
    moments = collect(posed.model, consumers, TASK, samples, DEFAULT, posed.seed)
    found = refitting(
        "regression",
        posed.model,
        structure,
        moments,
        lambda repaired: {item.tensor: 1.0 for item in consumers},
        eliminated,
    )
    return replace(posed.ranking, errors=found.errors)


def row(problems: Mapping[str, PruningProblem], score: Evaluator, seed: int) -> dict[str, str]:
    """Score the plans of one budget."""
    rng = np.random.default_rng(seed)
    drawn: list[Plan] = []
    for problem in problems.values():
        groups = len(problem.structure.groups)
        for _ in range(PLANS):
            drawn.append(least_error(problem, np.exp(rng.normal(0, SPREAD, groups))))
    losses = np.array([score(plan).loss for plan in drawn])
    some = next(iter(problems.values()))
    uniform = score(some.budget.uniform())
    dense = score(some.cost.plan(some.budget.largest)).loss
    found = {"dense": f"{dense:.3f}", "uniform": f"{uniform.loss:.3f}"}
    for name, problem in problems.items():
        sums = np.array([total(problem, plan) for plan in drawn])
        own = least_error(problem)
        came = score(own)
        found[f"{name}: r"] = f"{np.corrcoef(sums, losses)[0, 1]:.2f}"
        found[f"{name}: loss"] = f"{came.loss:.3f}"
        found[f"{name}: accuracy"] = f"{came.score:.2%}"
    found["rise"] = f"{total(problem, own):.3f} of {came.loss - dense:.3f}"
    return found


def total(problem: PruningProblem, plan: Plan) -> float:
    """Sum the errors of a plan's groups."""
    counts = problem.cost.counts(plan)
    return float(sum(curve[k] for curve, k in zip(curves(problem), counts, strict=True)))


if __name__ == "__main__":
    main()
