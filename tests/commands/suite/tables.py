"""A suite of one table, of the toy problem, whose test losses are known; one with branches."""

from dataclasses import replace

import numpy as np
import torch

from autoprune.agents.random_search import random_walk
from autoprune.commands.suite.frozen import FrozenProblem
from autoprune.commands.suite.surrogate import Surrogate, quality
from autoprune.commands.suite.table import SuiteIndex, SuiteTask, Table
from autoprune.envs.walk import WalkContext
from autoprune.ranking.ordering import Ranking
from autoprune.testing import toy_problem
from tests.landscape import landscape
from tests.synthetic import with_branches

BUDGETS = ("0.5flops", "0.3params")


def ranked(structure, budget):
    made = landscape(structure, 0, budget)
    orders = {name: torch.arange(size) for name, size in structure.sizes.items()}
    return replace(made, ranking=Ranking("l1", orders, made.ranking.errors))


def branched():
    return ranked(with_branches([12, 8, 10, 6], 12, nested=True), "0.4flops")


def truth(plan):
    """Loss and score on the three splits: the test split's are in another order."""
    found = toy_problem().evaluate(plan)
    losses = [
        0.1 + found.loss,
        0.12 + found.loss,
        0.1 + 2 * found.loss + 0.05 * (sum(plan.values()) % 3),
    ]
    return losses, [float(np.exp(-loss)) for loss in losses]


def recorded(plans=120):
    """Plans of the toy problem at both budgets, the uniform ones first."""
    rng, found = np.random.default_rng(1), {}
    for budget in BUDGETS:
        problem = toy_problem(0, budget, 2)
        context = WalkContext.of(problem)
        found[problem.budget.uniform()] = None
        for _ in range(plans // len(BUDGETS)):
            found[random_walk(context, rng)] = None
    return list(found)


def toy_table(plans=120, name="toy", fitted=True):
    problem = FrozenProblem.of(toy_problem(0, "0.5flops", 2))
    kept = recorded(plans)
    counts = np.array([problem.cost.counts(plan) for plan in kept])
    losses, scores = (
        np.array(rows, np.float32).astype(float) for rows in zip(*map(truth, kept), strict=True)
    )
    held = np.arange(len(kept)) % 5 == 4
    surrogate = (
        Surrogate.fit(problem, counts[~held], losses[~held], scores[~held]) if fitted else None
    )
    found = {}
    if surrogate is not None:
        measured = quality(surrogate, counts[held], losses[held, 0])
        found = dict.fromkeys(BUDGETS, measured)
    tasks = (SuiteTask(f"{name}-flops", BUDGETS[:1]), SuiteTask(f"{name}-params", BUDGETS[1:]))
    return Table(
        *(name, {"network": "toy"}, problem, tasks, counts, losses, scores, held & fitted),
        whole=not fitted,
        surrogate=surrogate,
        quality=found,
    )


def write_suite(place, *tables):
    SuiteIndex("test", {table.name: table.write(place / table.name) for table in tables}).write(
        place
    )
    return place
