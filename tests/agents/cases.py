"""Training cases of synthetic networks."""

import dataclasses

import numpy as np

from autoprune.agents.generalist import GeneralistConfig
from autoprune.agents.training_case import TrainingCase
from autoprune.cost.budget import Budget
from autoprune.envs.walk import WalkContext
from autoprune.problem.evaluation import Evaluation
from autoprune.problem.scorer import FunctionScorer
from tests.landscape import chain_landscape

BUDGETS = ("0.3flops", "0.5flops", "0.7flops")


QUICK = GeneralistConfig(walks=4, variants=1, steps=800)


def deep_matters(problem):
    """The same problem with a loss in which errors of later groups count more."""
    context = WalkContext.of(problem)
    weights = np.linspace(0.2, 2.0, context.length)

    def evaluate(plan):
        errors = [curve[k] for curve, k in zip(context.errors, plan.values(), strict=True)]
        damage = float(weights @ errors) / context.length
        return Evaluation(float(np.exp(-damage)), damage)

    return dataclasses.replace(problem, scorer=FunctionScorer(evaluate))


def case(name, problem):
    bound = [Budget.parse(text).bind(problem.cost) for text in BUDGETS]
    return TrainingCase(name, [dataclasses.replace(problem, budget=budget) for budget in bound])


def cases():
    return [case(f"net{seed}", deep_matters(chain_landscape(seed, groups=8))) for seed in range(3)]
