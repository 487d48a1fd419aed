"""Synthetic but realistic problems: the score is an analytic function of the plan.

Errors are convex in the keep fraction. The ranking's error curves have roughly the right shapes,
but how much each group matters to the score is a hidden weight: log-normal, and larger for groups
that many layers read, so a few groups are critical. Neighbors interact slightly. The score is a
number of images, as a real one is.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from autoprune.cost.budget import Budget
from autoprune.cost.model import CostModel
from autoprune.problem.evaluation import Evaluation
from autoprune.problem.problem import PruningProblem
from autoprune.problem.scorer import FunctionScorer
from tests.synthetic import chain, stages

IMAGES = 2000


def landscape(structure, seed, budget="0.5flops", align=1):
    rng = np.random.default_rng(seed)
    shown, true = {}, {}
    for group in structure.groups:
        lost = 1 - np.arange(group.size + 1) / group.size
        height, power = rng.uniform(0.4, 1.0), rng.uniform(1.2, 2.5)
        shown[group.name] = height * lost**power
        true[group.name] = height * lost ** (power * rng.lognormal(0, 0.3))
    readers = [
        sum(name == group.name for layer in structure.layers for name in read(layer))
        for group in structure.groups
    ]
    weights = rng.lognormal(0, 0.6, len(true)) * (1 + 3 / 8 * np.array(readers))
    weights /= weights.mean()
    couplings = rng.uniform(-1, 2, len(true) - 1)
    cost = CostModel(structure)

    def evaluate(plan):
        error = np.array([true[name][count] for name, count in plan.items()])
        damage = weights @ error + 0.5 * (couplings * error[1:]) @ error[:-1]
        score = 0.9 * np.exp(-5 * damage / len(error))
        return Evaluation(np.round(score * IMAGES) / IMAGES, -float(np.log(score)), 0.0)

    return PruningProblem(
        structure=structure,
        cost=cost,
        budget=Budget.parse(budget).bind(cost, align),
        ranking=SimpleNamespace(errors=shown),
        scorer=FunctionScorer(evaluate),
    )


def read(layer):
    return [
        name for product in layer.macs for extent in product.extents for name, _ in extent.terms
    ]


def chain_landscape(seed, groups=12, **options):
    rng = np.random.default_rng(1000 + seed)
    return landscape(chain((rng.integers(2, 9, groups) * 8).tolist()), seed, **options)


def residual_landscape(seed, blocks=8, **options):
    """3 + 3 * blocks groups."""
    return landscape(stages(16, blocks), seed, **options)
