"""Imitation: the initial actor follows the error curves, demonstrations the planner."""

import numpy as np
import torch

from autoprune.agents.imitation import demonstrate, initial_actor
from autoprune.envs.lagrangian import LagrangianPlanner
from autoprune.envs.walk import ENTRIES, WalkContext, initial, observe, planner_action, transition
from tests.landscape import chain_landscape


def test_the_initial_actor_follows_the_error_curves_before_it_learns_anything():
    column = list(ENTRIES).index("guided")
    for seed in range(3):
        torch.manual_seed(seed)
        observations = torch.rand(500, len(ENTRIES)) * 2 - 1
        with torch.no_grad():
            actions = initial_actor(64)(observations)[:, 0]
        assert (actions - observations[:, column]).abs().max() < 0.03


def test_demonstrations_are_the_planners_actions_on_and_off_its_walk():
    context = WalkContext.of(chain_landscape(2, groups=6))
    weights = np.array([0.2, 0.2, 0.2, 2.0, 2.0, 2.0])
    damage = [weight * curve for weight, curve in zip(weights, context.errors, strict=True)]
    found = demonstrate(context, damage, np.random.default_rng(0), walks=3)
    assert found.observations.shape == (18, len(ENTRIES))
    planner, state = LagrangianPlanner.of(context.budget, damage), initial(context)
    for step in range(6):  # the first walk has no noise
        assert np.array_equal(found.observations[step], observe(context, state))
        assert found.actions[step] == np.float32(planner_action(planner, state))
        state = transition(context, state, float(found.actions[step]))
    plain = demonstrate(context, context.errors, np.random.default_rng(0), walks=1)
    late = context.error(state.kept[:3]) > context.error(tuple(walk(context, plain)[:3]))
    assert late  # what matters less keeps less


def walk(context, taught):
    state = initial(context)
    for action in taught.actions[: context.length]:
        state = transition(context, state, float(action))
    return state.kept
