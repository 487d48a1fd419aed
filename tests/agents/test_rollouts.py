"""Rollouts: the actions stored are the actions executed."""

import numpy as np

from autoprune.agents.rollouts import retrace, roll_out
from autoprune.envs.walk import WalkContext, initial, observe, transition
from tests.landscape import residual_landscape


def test_stored_actions_are_those_executed():
    """Every action of a walk, taken again in the observed state, decides the count it kept."""
    context = WalkContext.of(residual_landscape(2, blocks=1, align=4))
    rng = np.random.default_rng(0)
    walks = roll_out(context, lambda _, o: rng.uniform(-1, 1, len(o)).astype(np.float32), 5)
    for walk in walks:
        state = initial(context)
        for step, action in enumerate(walk.actions):
            assert np.array_equal(observe(context, state), walk.observations[step])
            state = transition(context, state, float(action))
        assert state.kept == walk.kept
        assert retrace(context, context.budget.cost.plan(walk.kept)).kept == walk.kept
