"""A search of 100 evaluations beside AMC's procedure on the same network and machine.

AMC (He et al. 2018; code of mit-han-lab/amc, `channel_pruning_env.py`) solves, in every episode and
for every layer it prunes, a scikit-learn least squares on 3,000 images x 10 points, and then runs
its validation images in batches of 50. Its solves are timed here on the real layers' input patches,
at the widths of the uniform plan on the budget, one episode's worth; validation of the dense
network, masked as AMC's is, on the search images that ours has. What is left out favors AMC:
storing features, masking, its agent.

As published it leans on scikit-learn's singular value decomposition and on dense networks. The
second row is AMC as one would write it today: normal equations on the same rows, and the compact
network of the plan on the same images in batches of 128.

Ours is timed whole: ranking, the evaluator, and a search of 100 evaluations with its agent. All
compute in float32; with --precision auto both forward passes and ours use bfloat16 where it pays.

python benchmarks/amc_speed.py --weights resnet20.safetensors --data DIR [--write]
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LinearRegression
from support.reporting import parser, report
from torch import nn

from autoprune.agents.registry import searcher
from autoprune.cost.bound_budget import BoundBudget
from autoprune.cost.budget import Budget
from autoprune.cost.model import CostModel
from autoprune.data import Data, load_data
from autoprune.data.classification import Classification
from autoprune.networks import zoo
from autoprune.networks.execution import Precision
from autoprune.networks.weights import load_weights
from autoprune.pipeline.tuning import SampleConfig
from autoprune.problem.evaluator import Evaluator, EvaluatorParts
from autoprune.problem.ledger import Ledger
from autoprune.problem.pool import ScorerPool
from autoprune.problem.problem import PruningProblem
from autoprune.ranking.consumers import find_consumers
from autoprune.ranking.patches import patches
from autoprune.ranking.rank import rank
from autoprune.structure import Structure
from autoprune.structure.analyze import analyze
from autoprune.structure.plan import Plan
from autoprune.structure.slicing import Slicer
from autoprune.training.loop import measure

TASK = Classification()
EVALUATIONS = 100
Array = NDArray[np.float32]
IMAGES, POINTS = 3000, 10
"""Of AMC's least squares."""


def main() -> None:
    """Time both and report."""
    options = parser(__doc__ or "")
    options.add_argument("--model", default="resnet20")
    options.add_argument("--weights", required=True)
    options.add_argument("--data", required=True)
    options.add_argument("--precision", choices=("float32", "auto"), default="float32")
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    data = load_data(chosen.data)
    model = zoo.build(chosen.model).eval()
    load_weights(model, chosen.weights)
    structure = analyze(model, data.example(TASK))
    budget = Budget.parse("0.5flops").bind(CostModel(structure))
    precision = chosen.precision
    ours = sum((spent := timed_search(model, structure, budget, data, precision)).values())
    plan = budget.uniform()
    published = timed_episode(model, structure, plan, data, precision)
    modern = timed_modern(model, structure, plan, data, precision)
    hundred = [EVALUATIONS * sum(each.values()) for each in (published, modern)]
    rows = [
        row("AMC as published", published, hundred[0], hundred[0] / ours, 20),
        row("AMC, normal equations, compact", modern, hundred[1], hundred[1] / ours, 10),
        row("autoprune", spent, ours),
    ]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    report(
        f"amc_speed_{chosen.model}",
        f"A search of {EVALUATIONS} evaluations on {chosen.model} beside AMC's procedure",
        [{name: row.get(name, "") for name in columns} for row in rows],
        [
            "`ours`: how many times as fast ours is. AMC: one episode timed, all layers. autoprune:"
            " ddpg, all of it timed.",
            f"{len(data.search):,} search images on both sides; ours sees a weighted half of them,"
            " and plans race on these. Seconds are of the process on the CPU.",
        ],
        chosen.write,
        chosen.precision,
    )


def row(
    name: str,
    spent: dict[str, float],
    all_of_it: float,
    ratio: float | None = None,
    aim: int | None = None,
) -> dict[str, str]:
    """Make a row of the table."""
    compared = {} if ratio is None else {"ours": f"{ratio:.1f}x", "aim": f">= {aim}x"}
    return {
        "procedure": name,
        **seconds(spent),
        "100 evaluations": f"{all_of_it:,.0f} s",
        **compared,
    }


def seconds(times: dict[str, float]) -> dict[str, str]:
    """Write seconds."""
    return {name: f"{value:.2f} s" for name, value in times.items()}


def timed_search(
    model: nn.Module,
    structure: Structure,
    budget: BoundBudget,
    data: Data,
    precision: Precision,
) -> dict[str, float]:
    """Time what a search consists of, the agent's share in it."""
    marks = [time.process_time()]
    ranking = rank(model, structure, "regression", task=TASK, calibration=data.calibration(1000))
    marks.append(time.process_time())
    calibration = data.calibration(SampleConfig().evaluation)
    parts = EvaluatorParts(model, structure, ranking, TASK, data.search, calibration)
    pool = ScorerPool(Evaluator(parts, precision=precision), 1, EVALUATIONS)
    marks.append(time.process_time())
    problem = PruningProblem(structure, budget.cost, budget, ranking, pool)
    searcher("ddpg").search(problem, Ledger(problem, EVALUATIONS), 0)
    marks.append(time.process_time())
    spent = (after - before for before, after in pairwise(marks))
    return dict(zip(("ranking", "evaluator", "search"), spent, strict=True))


def timed_episode(
    model: nn.Module, structure: Structure, plan: Plan, data: Data, precision: Precision
) -> dict[str, float]:
    """Time scikit-learn's least squares on every layer, at the widths of a plan, and validation."""
    solves = [
        one_solve(model, consumer, plan, data, as_published)
        for consumer in find_consumers(model, structure)
    ]
    began = time.process_time()
    measure(model, data.search, TASK, batch_size=50, precision=precision)
    return {"least squares": sum(solves), "validation": time.process_time() - began}


def timed_modern(
    model: nn.Module, structure: Structure, plan: Plan, data: Data, precision: Precision
) -> dict[str, float]:
    """Time normal equations on the same rows, and validation of the compact network."""
    solves = [
        one_solve(model, consumer, plan, data, normal_equations)
        for consumer in find_consumers(model, structure)
    ]
    compact = Slicer(model, structure).build(rank(model, structure, "l1").kept(plan))
    began = time.process_time()
    measure(compact, data.search, TASK, batch_size=128, precision=precision)
    return {"least squares": sum(solves), "validation": time.process_time() - began}


def as_published(rows: Array, outputs: Array) -> None:
    """Solve as AMC's repository does."""
    LinearRegression(fit_intercept=False).fit(rows, outputs)


def normal_equations(rows: Array, outputs: Array) -> None:
    """Solve from X'X and X'Y; a little on the diagonal, for channels that are always zero."""
    gram, right = (rows.T @ rows).astype(np.float64), rows.T @ outputs
    gram.flat[:: len(gram) + 1] += 1e-6 * np.trace(gram) / len(gram)
    np.linalg.solve(gram, right.astype(np.float64))


def one_solve(
    model: nn.Module,
    consumer: Any,
    plan: Plan,
    data: Data,
    solve: Callable[[Array, Array], None],
) -> float:
    """Time one of AMC's solves: the layer's own patches at the channels that a plan keeps."""
    module, rows = consumer.modules[0], []
    generator = torch.Generator().manual_seed(0)

    def keep(layer: nn.Module, args: tuple[torch.Tensor, ...]) -> None:
        rows.append(patches(layer, args[0], POINTS * len(args[0]), generator))

    handle = module.register_forward_pre_hook(keep)
    measure(model, data.calibration(IMAGES), TASK)
    handle.remove()
    inputs = torch.cat(rows)
    outputs = inputs @ consumer.weight.flatten(1).T
    kept = torch.ones(inputs.shape[1], dtype=torch.bool)
    for name, taps in consumer.groups.items():
        kept[taps[plan[name] :].flatten()] = False
    chosen = inputs[:, kept].numpy()
    began = time.process_time()
    solve(chosen, outputs.numpy())
    return time.process_time() - began


if __name__ == "__main__":
    main()
