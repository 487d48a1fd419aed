"""Policy training by reinforcement learning: the better of two actors comes out."""

import dataclasses

import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from torch import nn

from autoprune.agents.base import isolated
from autoprune.agents.generalist import Generalist, GeneralistConfig
from autoprune.agents.imitation import initial_actor
from autoprune.agents.policy_training import Curriculum, PolicyTrainingConfig, train_actor
from autoprune.agents.rollouts import actor_function, retrace, roll_out
from autoprune.agents.surrogate import (
    WORST,
    SurrogateEnv,
    SurrogateProblem,
    mean_reward,
    planner_reward,
)
from autoprune.envs.walk import WalkContext
from tests.agents.test_generalist import BUDGETS, QUICK, case, cases
from tests.landscape import chain_landscape

TRAINING = PolicyTrainingConfig(rounds=24, every=6, warm_up=6, steps=256)


def surrogate(seed=0, groups=6, late=1.0):
    """A network where errors of the last group matter ``late`` times as much as of the first."""
    context = WalkContext.of(chain_landscape(seed, groups=groups))
    weights = np.linspace(1, late, groups)
    return SurrogateProblem.of(
        context, [w * e for w, e in zip(weights, context.errors, strict=True)]
    )


def surrogates(late=1.0):
    return [surrogate(seed, 4 + seed, late) for seed in range(3)]


def test_rewards_are_relative_to_the_plan_of_least_error():
    one = surrogate(late=8.0)
    assert one.reward(one.context.planner.counts) == 0
    everything = [len(curve) - 1 for curve in one.damage]
    assert one.reward(everything) > 0
    assert one.reward([0] * len(everything)) == WORST
    best = planner_reward([one])
    assert 0 < best < one.reward(everything)
    plain = surrogate()
    assert planner_reward([plain]) == 0  # nothing beats the planner where all errors weigh the same


def test_every_problem_is_drawn_and_only_the_last_step_is_rewarded():
    env = SurrogateEnv(surrogates())
    check_env(env, skip_render_check=True)
    drawn = set()
    for seed in range(20):
        env.reset(seed=seed)
        length, earned = env.current.context.length, []
        over = False
        while not over:
            _, reward, over, _, _ = env.step(np.zeros(1, np.float32))
            earned.append(reward)
        assert len(earned) == length and set(earned[:-1]) <= {0.0}
        assert earned[-1] == env.current.reward(env.state.kept)
        drawn.add(length)
    assert drawn == {4, 5, 6}


def test_the_mean_reward_is_that_of_the_actors_rollouts():
    one = surrogate()
    uniform = mean_reward(lambda observations: np.zeros(len(observations), np.float32), [one])
    (walk,) = roll_out(one.context, lambda step, observations: np.zeros(1, np.float32), 1)
    assert uniform == one.reward(walk.kept)


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


@pytest.mark.parametrize("agent", ["ddpg", "ppo"])
def test_a_generalist_is_evaluated_at_budgets_it_was_never_trained_on(agent):
    training = dataclasses.replace(TRAINING, rounds=12)
    config = dataclasses.replace(QUICK, steps=300, training=training)
    between = case("held out", chain_landscape(0, groups=8)).problems[:2]
    taught = [dataclasses.replace(each, held_out=between) for each in cases()]
    teacher = Generalist(taught, 0, config, agent)
    teacher.explore(18, lambda case, trial: None)
    trained = teacher.train(lambda step, loss: None)
    assert list(trained.held_out_rewards) == ["planner", "imitation", agent]
    rewards = trained.held_out_rewards
    assert rewards["planner"] >= max(rewards["imitation"], rewards[agent]) - 0.05


def test_evaluated_plans_are_replayed_with_their_measured_rewards():
    teacher = Generalist(cases(), 0, GeneralistConfig(variants=1))
    teacher.explore(27, lambda case, trial: None)
    reward_model = teacher.reward_model()
    contexts = [
        teacher._contexts(each, each.problems, np.random.default_rng(0)) for each in teacher.cases
    ]
    curriculum = teacher._curriculum(reward_model, contexts, np.random.default_rng(0))
    assert len(curriculum.evaluated) == len(curriculum.earned) == 27
    assert len(curriculum.problems) == 3 * len(BUDGETS) * 2
    earned = curriculum.earned.reshape(3, 3, len(BUDGETS))  # network, turn, budget
    assert (earned[:, 0] == 0).all()  # the error curves' own plan
    assert (earned[:, 1] < 0).all()  # the uniform one is worse on these landscapes
