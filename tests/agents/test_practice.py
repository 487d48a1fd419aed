"""Reinforcement learning over several networks: rewards, episodes, and the better of two actors."""

import dataclasses

import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from torch import nn

from autoprune.agents.base import isolated
from autoprune.agents.generalist import Generalist, GeneralistConfig
from autoprune.agents.imitation import apprentice
from autoprune.agents.practice import AGENTS, PracticeConfig, Syllabus, acting, practice
from autoprune.agents.rollouts import retrace, roll
from autoprune.agents.surrogate import WORST, Exercise, Exercises, examine, planned
from autoprune.envs.walk import WalkContext
from tests.agents.test_generalist import BUDGETS, QUICK, case, cases
from tests.landscape import chain_landscape

PRACTICE = PracticeConfig(rounds=24, every=6, warm_up=6, steps=256)


def exercise(seed=0, groups=6, late=1.0):
    """A network where errors of the last group matter ``late`` times as much as of the first."""
    context = WalkContext.of(chain_landscape(seed, groups=groups))
    weights = np.linspace(1, late, groups)
    return Exercise.of(context, [w * e for w, e in zip(weights, context.errors, strict=True)])


def exercises(late=1.0):
    return [exercise(seed, 4 + seed, late) for seed in range(3)]


def test_rewards_compare_with_what_the_error_curves_suggest():
    one = exercise(late=8.0)
    assert one.reward(one.context.guide.counts) == 0
    everything = [len(curve) - 1 for curve in one.damage]
    assert one.reward(everything) > 0
    assert one.reward([0] * len(everything)) == WORST
    best = planned([one])
    assert 0 < best < one.reward(everything)
    plain = exercise()
    assert planned([plain]) == 0  # nothing is better than the guide where all errors weigh the same


def test_every_exercise_is_drawn_and_its_walks_earn_at_their_end_only():
    env = Exercises(exercises())
    check_env(env, skip_render_check=True)
    drawn = set()
    for seed in range(20):
        env.reset(seed=seed)
        length, earned = env.now.context.length, []
        over = False
        while not over:
            _, reward, over, _, _ = env.step(np.zeros(1, np.float32))
            earned.append(reward)
        assert len(earned) == length and set(earned[:-1]) <= {0.0}
        assert earned[-1] == env.now.reward(env.state.kept)
        drawn.add(length)
    assert drawn == {4, 5, 6}


def test_an_exam_walks_as_the_actor_says():
    one = exercise()
    uniform = examine(lambda observations: np.zeros(len(observations), np.float32), [one])
    (walk,) = roll(one.context, lambda step, observations: np.zeros(1, np.float32), 1)
    assert uniform == one.reward(walk.kept)


def practiced(agent, seed=0, late=8.0, evaluated=False):
    syllabus = Syllabus(exercises(late), exercises(late))
    if evaluated:
        plans = [each.context.budget.uniform() for each in syllabus.exercises]
        pairs = list(zip(syllabus.exercises, plans, strict=True))
        walks = [retrace(each.context, plan) for each, plan in pairs]
        earned = np.array([each.reward(plan.values()) for each, plan in pairs])
        syllabus = dataclasses.replace(syllabus, evaluated=walks, earned=earned)
    with isolated(seed):
        actor = apprentice(64)
        before = {name: tensor.clone() for name, tensor in actor.state_dict().items()}
        rounds = []
        found = practice(agent, actor, syllabus, PRACTICE, seed, lambda *said: rounds.append(said))
    assert all(torch.equal(actor.state_dict()[name], old) for name, old in before.items())
    assert [number for number, _ in rounds] == list(range(1, PRACTICE.rounds + 1))
    return found, syllabus


def weights_of(actor: nn.Module):
    return np.concatenate([tensor.numpy().ravel() for tensor in actor.state_dict().values()])


@pytest.mark.parametrize("agent", AGENTS)
def test_what_comes_out_is_the_better_actor_and_the_same_for_the_same_seed(agent):
    found, syllabus = practiced(agent, evaluated=agent == "ddpg")
    kept = examine(acting(found.actor), syllabus.exam)
    assert kept == pytest.approx(max(found.before, found.after))
    again, _ = practiced(agent, evaluated=agent == "ddpg")
    assert np.array_equal(weights_of(found.actor), weights_of(again.actor))
    assert (found.before, found.after) == (again.before, again.after)


def test_practice_improves_on_the_error_curves_where_they_mislead():
    """By no planner and no evaluation: an actor that follows the curves earns about 0 at first."""
    found, syllabus = practiced("ppo")
    assert abs(found.before) < 0.1
    assert found.after > found.before + 0.05 * planned(syllabus.exam)


@pytest.mark.parametrize("agent", AGENTS)
def test_a_generalist_practices_and_is_examined_at_budgets_it_never_learned_from(agent):
    practice = dataclasses.replace(PRACTICE, rounds=12)
    config = dataclasses.replace(QUICK, steps=300, practice=practice)
    between = case("exam", chain_landscape(0, groups=8)).problems[:2]
    taught = [dataclasses.replace(each, exams=between) for each in cases()]
    teacher = Generalist(taught, 0, config, agent)
    teacher.explore(18, lambda case, trial: None)
    trained = teacher.train(lambda step, loss: None)
    assert list(trained.exam) == ["planner", "imitation", agent]
    assert trained.exam["planner"] >= max(trained.exam["imitation"], trained.exam[agent]) - 0.05


def test_really_evaluated_plans_are_practiced_on_for_what_they_earned():
    teacher = Generalist(cases(), 0, GeneralistConfig(variants=1))
    teacher.explore(27, lambda case, trial: None)
    belief = teacher.belief()
    contexts = [
        teacher._courses(each, each.problems, np.random.default_rng(0)) for each in teacher.cases
    ]
    syllabus = teacher._syllabus(belief, contexts, np.random.default_rng(0))
    assert len(syllabus.evaluated) == len(syllabus.earned) == 27
    assert len(syllabus.exercises) == 3 * len(BUDGETS) * 2
    earned = syllabus.earned.reshape(3, 3, len(BUDGETS))  # network, turn, budget
    assert (earned[:, 0] == 0).all()  # the error curves' own plan
    assert (earned[:, 1] < 0).all()  # the uniform one is worse in these worlds
