"""Lagrangian planner: feasible actions, and a sum of errors near the least."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import autoprune.envs  # noqa: F401 - registers the environment
from autoprune.agents.initial_plans import baseline_plans
from autoprune.envs.walk import (
    WalkContext,
    initial,
    observe,
    planner_action,
    terminal,
    transition,
)
from tests.envs.walks import actions, contexts, entry
from tests.landscape import chain_landscape, residual_landscape


def follow_the_planner(context):
    state = initial(context)
    while not terminal(context, state):
        assert entry(observe(context, state), "guided") == pytest.approx(
            planner_action(context.planner, state), abs=1e-6
        )
        state = transition(context, state, planner_action(context.planner, state))
    return state.kept


@settings(max_examples=40)
@given(contexts(), st.data())
def test_what_the_error_curves_suggest_is_a_feasible_action_anywhere(context, data):
    state = initial(context)
    while not terminal(context, state):
        assert -1 <= planner_action(context.planner, state) <= 1
        state = transition(context, state, data.draw(actions))


@pytest.mark.parametrize("budget", ["0.3flops", "0.7flops", "0.4params", "0.5flops,0.4params"])
def test_following_the_error_curves_ends_near_the_least_sum_of_errors(budget):
    for make in (chain_landscape, residual_landscape):
        problem = make(4, budget=budget)
        context = WalkContext.of(problem)
        uniform, best = (context.error(tuple(plan.values())) for plan in baseline_plans(problem))
        followed = context.error(follow_the_planner(context))
        assert followed <= best + 0.1 * (uniform - best)
