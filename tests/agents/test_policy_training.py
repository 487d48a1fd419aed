"""Policy training by reinforcement learning: the better of two actors is returned."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from autoprune.agents.base import isolated
from autoprune.agents.imitation import initial_actor
from autoprune.agents.policy_training import Curriculum, PolicyTrainingConfig, train_actor
from autoprune.agents.rollouts import actor_function, retrace
from autoprune.agents.surrogate import (
    mean_reward,
    planner_reward,
)
from tests.agents.surrogates import surrogates

TRAINING = PolicyTrainingConfig(rounds=24, every=6, warm_up=6, steps=256)


def train(agent, seed=0, late=8.0, evaluated=False):
    curriculum = Curriculum(surrogates(late), surrogates(late))
    if evaluated:
        plans = [problem.context.budget.uniform() for problem in curriculum.problems]
        pairs = list(zip(curriculum.problems, plans, strict=True))
        walks = [retrace(problem.context, plan) for problem, plan in pairs]
        earned = np.array([problem.reward(plan.values()) for problem, plan in pairs])
        curriculum = dataclasses.replace(curriculum, evaluated=walks, earned=earned)
    with isolated(seed):
        actor = initial_actor(64)
        before = {name: tensor.clone() for name, tensor in actor.state_dict().items()}
        rounds = []
        found = train_actor(
            agent, actor, curriculum, TRAINING, seed, lambda *done: rounds.append(done)
        )
    assert all(torch.equal(actor.state_dict()[name], old) for name, old in before.items())
    assert [number for number, _ in rounds] == list(range(1, TRAINING.rounds + 1))
    return found, curriculum


def weights_of(actor: nn.Module):
    return np.concatenate([tensor.numpy().ravel() for tensor in actor.state_dict().values()])


@pytest.mark.parametrize("agent", ["ddpg", "ppo"])
def test_the_better_actor_is_returned_and_the_same_seed_gives_the_same(agent):
    found, curriculum = train(agent, evaluated=agent == "ddpg")
    kept = mean_reward(actor_function(found.actor), curriculum.held_out)
    assert kept == pytest.approx(max(found.before, found.after))
    again, _ = train(agent, evaluated=agent == "ddpg")
    assert np.array_equal(weights_of(found.actor), weights_of(again.actor))
    assert (found.before, found.after) == (again.before, again.after)


def test_training_improves_on_the_error_curves_where_they_mislead():
    """By no planner and no evaluation: an actor that follows the curves earns about 0 at first."""
    found, curriculum = train("ppo")
    assert abs(found.before) < 0.1
    assert found.after > found.before + 0.05 * planner_reward(curriculum.held_out)
