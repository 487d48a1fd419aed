"""A made-up but realistic problem: what plans score is an analytic function of the plan.

Errors are convex in the keep fraction. The ranking's error curves tell the shapes, but not how much
each group matters to the score: a hidden weight (log-normal, so a few groups are critical) does,
with slight interactions of neighbours. The score is counted in images, as a real one is.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from autoprune.budget import Budget
from autoprune.cost import CostModel
from autoprune.problem import Evaluation, PruningProblem
from tests.synthetic import chain, residual

IMAGES = 2000


def curves(structure, rng):
    """Error by count: (1 - keep fraction) ** p, zero when whole."""
    return {
        group.name: rng.uniform(0.3, 1.0)
        * (1 - np.arange(group.size + 1) / group.size) ** rng.uniform(1.5, 4.0)
        for group in structure.groups
    }


def landscape(structure, seed, budget="0.5flops", align=1, hidden=0.8):
    rng = np.random.default_rng(seed)
    errors = curves(structure, rng)
    weights = rng.lognormal(0, hidden, len(errors))
    weights *= len(errors) / weights.sum()
    couplings = rng.uniform(-1, 2, len(errors) - 1)
    cost = CostModel(structure)

    def evaluate(plan):
        error = np.array([errors[name][count] for name, count in plan.items()])
        damage = weights @ error + 0.5 * (couplings * error[1:]) @ error[:-1]
        score = 0.9 * np.exp(-8 * damage / len(error))
        return Evaluation(np.round(score * IMAGES) / IMAGES, -float(np.log(score)), 0.0)

    return PruningProblem(
        structure=structure,
        cost=cost,
        budget=Budget.parse(budget).bind(cost, align),
        ranking=SimpleNamespace(errors=errors),
        evaluate=evaluate,
    )


def chain_landscape(seed, groups=12, **options):
    rng = np.random.default_rng(1000 + seed)
    return landscape(chain((rng.integers(2, 9, groups) * 8).tolist()), seed, **options)


def residual_landscape(seed, groups=28, **options):
    rng = np.random.default_rng(2000 + seed)
    inner = (rng.integers(2, 9, groups - 1) * 8).tolist()
    return landscape(residual(inner, 48), seed, **options)
