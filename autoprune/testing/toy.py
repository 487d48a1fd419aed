"""A toy network, and the problem of pruning it, whose loss is an analytic function of the plan."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from autoprune.cost.budget import Budget
from autoprune.cost.model import CostModel
from autoprune.problem.evaluation import Evaluation
from autoprune.problem.problem import PruningProblem
from autoprune.problem.scorer import FunctionScorer
from autoprune.ranking.rank import rank
from autoprune.structure.analyze import analyze
from autoprune.structure.plan import Plan
from autoprune.structure.table import Structure

WIDTHS = (24, 40, 16, 32, 8, 48)
INPUTS, OUTPUTS = 12, 5


@cache
def toy_network(seed: int = 0) -> tuple[nn.Module, Structure, Tensor]:
    """Return a perceptron of six hidden layers, its structure, and inputs for it, [8, 12]."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers: list[nn.Module] = []
        for before, after in pairwise((INPUTS, *WIDTHS)):
            layers += [nn.Linear(before, after), nn.ReLU()]
        network = nn.Sequential(*layers, nn.Linear(WIDTHS[-1], OUTPUTS)).eval()
        inputs = torch.randn(8, INPUTS)
    return network, analyze(network, inputs[:2]), inputs


@cache
def toy_problem(seed: int = 0, budget: str = "0.5flops", align: int = 1) -> PruningProblem:
    """Return a problem that takes no time to evaluate.

    How much each group matters to the loss is hidden from its error curve: log-normal by ``seed``.
    """
    network, structure, _ = toy_network(seed)
    cost, ranking = CostModel(structure), rank(network, structure, "l1")
    weights = np.random.default_rng(seed).lognormal(0, 0.8, len(structure.groups))

    def evaluate(plan: Plan) -> Evaluation:
        errors = [ranking.errors[name][count] for name, count in plan.items()]
        damage = float(weights @ np.array(errors))
        return Evaluation(float(np.exp(-damage)), damage)

    bound = Budget.parse(budget).bind(cost, align)
    return PruningProblem(structure, cost, bound, ranking, FunctionScorer(evaluate))
