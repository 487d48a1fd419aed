"""Transfer of what searches at other budgets found: plans that a new budget is begun with.

A plan on one budget is no plan on another, but the errors of its groups matter in the same
proportions. A model of the losses by the groups' errors is fitted to the plans of the nearest
budgets that were searched, and the knapsack spends the new budget by it; beside that, the best plan
is scaled to the new budget in all groups alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from typing import Final

import numpy as np

from autoprune.agents.depth_plans import has_branches, number_gone
from autoprune.agents.initial_plans import least_error
from autoprune.agents.reward_model import RewardModel
from autoprune.cost.bisection import largest_that
from autoprune.cost.bound_budget import BoundBudget
from autoprune.envs.walk import curves
from autoprune.foundation.executors import ROUND
from autoprune.problem.evaluation import Evaluation
from autoprune.problem.problem import PruningProblem
from autoprune.structure.plan import Plan

NEAREST: Final = 2
"""Searched budgets that a new one learns from."""


@dataclass(frozen=True)
class Explored:
    """Search that is done: its budget, and the plans that it evaluated."""

    budget: BoundBudget
    trials: tuple[tuple[Plan, Evaluation], ...]

    @property
    def sound(self) -> list[tuple[Plan, Evaluation]]:
        """Trials that did not fail, in order of increasing loss."""
        return sorted((t for t in self.trials if not t[1].failed), key=lambda trial: trial[1].loss)


def transferred(problem: PruningProblem, known: Sequence[Explored], seed: int) -> tuple[Plan, ...]:
    """Return plans for a problem's budget by searches at other budgets, the likeliest first.

    At most as many as searchers propose at a time; none if nothing was searched.
    """
    rng, here = np.random.default_rng(seed), level(problem.budget)
    searched = [one for one in known if one.sound]
    near = sorted(searched, key=lambda one: abs(log(level(one.budget) / here)))[:NEAREST]
    plans: dict[Plan, None] = {}
    for one in near:
        best = one.sound[0][0]
        gone = number_gone(problem, best) if has_branches(problem) else None
        model = _reward_model(problem, one)
        plans[least_error(problem, model.coefficients)] = None
        if not has_branches(problem):
            plans[scaled(problem.budget, best)] = None
        plans[least_error(problem, model.sample(rng).coefficients, gone)] = None
    return tuple(plans)[:ROUND]


def scaled(budget: BoundBudget, plan: Plan) -> Plan:
    """Return the plan that keeps the same multiple of what another keeps in every group.

    The largest multiple that the budget allows, topped up.
    """
    base = budget.counts(plan)

    most = float(np.max(budget.largest / np.maximum(base, 1)))
    multiple = largest_that(lambda multiple: budget.fits(budget.nearest(multiple * base)), most)
    return budget.top_up(budget.cost.plan(budget.nearest(multiple * base)))


def level(budget: BoundBudget) -> float:
    """Fraction of the dense cost that a budget leaves, of its tightest limit."""
    return max(min(budget.fractions.values(), default=1.0), 1e-9)


def _reward_model(problem: PruningProblem, one: Explored) -> RewardModel:
    """Fit a model of the loss to what a search evaluated."""
    errors = [
        [float(curve[count]) for curve, count in zip(curves(problem), counts, strict=True)]
        for counts in (one.budget.counts(plan) for plan, _ in one.sound)
    ]
    rewards = np.array([-found.loss for _, found in one.sound])
    doubts = np.array([found.doubt for _, found in one.sound])
    return RewardModel.of(np.array(errors), rewards, doubts)
