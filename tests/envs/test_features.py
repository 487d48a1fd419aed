"""Features of real networks, and walks over them."""

import numpy as np
import pytest
import torch

import autoprune.envs  # noqa: F401 - registers the environment
from autoprune.cost.budget import Budget
from autoprune.cost.model import CostModel
from autoprune.envs.walk import (
    WalkContext,
    plan_of,
    walk_to,
)
from autoprune.networks.zoo import build
from autoprune.problem.evaluation import Evaluation
from autoprune.problem.problem import PruningProblem
from autoprune.problem.statistics import weight_statistics
from autoprune.ranking.rank import rank
from autoprune.structure.analyze import analyze
from tests.envs.walks import ENTRY, walk


@pytest.mark.parametrize("name", ["resnet20"])
def test_walks_of_real_networks_land_on_several_budgets(name):
    model = build(name)
    structure = analyze(model, torch.zeros(2, 3, 32, 32))
    cost = CostModel(structure)
    statistics = weight_statistics(structure, model.state_dict())
    ranking = rank(model, structure, "l1")
    rng = np.random.default_rng(0)
    for text in ("0.5flops", "0.3params,0.4macs", "0.7bytes"):
        budget = Budget.parse(text).bind(cost)
        problem = PruningProblem(
            structure, cost, budget, ranking, lambda plan: Evaluation(0.5, 1.0), statistics
        )
        context = WalkContext.of(problem)
        assert np.all(context.own[:, [ENTRY["norm_top_half"]]] > 0)
        for scale in (0.0, 0.3):
            states = walk(context, rng.uniform(-scale, scale, context.length))
            plan = plan_of(context, states[-1])
            spent = max(item.cost(plan) / item.bound for item in budget.constraints)
            assert 0.97 < spent <= 1
            assert walk_to(context, budget.top_up(plan))
