"""Walk: feasible actions, exact inverses, plans on the budget."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import autoprune.envs  # noqa: F401 - registers the environment
from autoprune.envs.walk import (
    WalkContext,
    action_for,
    count_for,
    initial,
    observe,
    plan_of,
    terminal,
    transition,
    walk_to,
)
from tests.envs.walks import ENTRY, actions, contexts, entry, walk
from tests.landscape import chain_landscape, residual_landscape


@settings(max_examples=60)
@given(contexts(), st.data())
def test_any_actions_end_in_a_plan_on_budget(context, data):
    sequence = [data.draw(actions) for _ in range(context.length)]
    states = walk(context, sequence)
    assert [terminal(context, s) for s in states] == [False] * context.length + [True]
    plan = plan_of(context, states[-1])
    assert context.budget.met(plan)
    for state, after, action in zip(states[:-1], states[1:], sequence, strict=True):
        assert state.low <= after.kept[-1] <= state.high
        assert after.previous == action
        observation = observe(context, state)
        assert observation.dtype == np.float32 and observation.shape == (len(ENTRY),)
        assert np.all(np.abs(observation) <= 1)


@settings(max_examples=60)
@given(contexts(), st.data())
def test_action_for_is_the_exact_inverse(context, data):
    state = initial(context)
    while not terminal(context, state):
        choices = context.budget.choices[state.group]
        for count in choices[(choices >= state.low) & (choices <= state.high)].tolist():
            action = action_for(state, count)
            assert -1 <= action <= 1
            assert count_for(context, state, float(np.float32(action))) == count
        for outside in (state.low - 1, state.high + 1):
            with pytest.raises(ValueError, match="interval"):
                action_for(state, outside)
        state = transition(context, state, data.draw(actions))


@settings(max_examples=50)
@given(contexts(), st.data())
def test_more_action_never_keeps_less(context, data):
    state = initial(context)
    counts = [count_for(context, state, a) for a in np.linspace(-1, 1, 21)]
    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (state.low, state.high)


def test_zeros_keep_the_uniform_plan():
    problem = residual_landscape(1)
    context = WalkContext.of(problem)
    plan = plan_of(context, walk(context, [0.0] * context.length)[-1])
    uniform = problem.budget.uniform()
    fractions = np.array([plan[n] / s for n, s in problem.structure.sizes.items()])
    even = np.array([uniform[n] / s for n, s in problem.structure.sizes.items()])
    assert np.abs(fractions - even).max() < 0.07
    assert problem.cost.macs(plan) > 0.995 * problem.budget.limits["macs"]


def test_walk_to_retraces_any_walk_and_any_maximal_plan():
    problem = residual_landscape(3, align=4)
    context = WalkContext.of(problem)
    rng = np.random.default_rng(0)
    end = plan_of(context, walk(context, rng.uniform(-1, 1, context.length))[-1])
    for plan in (problem.budget.uniform(), end):
        steps = walk_to(context, plan)
        states = walk(context, [action for _, action in steps])
        assert states[:-1] == [state for state, _ in steps]
        assert plan_of(context, states[-1]) == plan
    with pytest.raises(ValueError, match="interval"):
        walk_to(context, problem.cost.plan(problem.budget.smallest))


def test_budgets_are_observed():
    context = WalkContext.of(chain_landscape(0, budget="0.6flops,0.4params"))
    observation = observe(context, initial(context))
    assert entry(observation, "budget") == pytest.approx(0.4, abs=1e-3)
    dense = WalkContext.of(chain_landscape(0, budget="1flops"))
    whole = observe(dense, initial(dense))
    assert [entry(whole, name) for name in ("low", "middle", "high", "rest", "slack")] == [1] * 5
