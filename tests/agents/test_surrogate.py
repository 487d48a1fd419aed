"""Surrogate environment: rewards, episodes, and mean rewards of actors."""

import numpy as np
from gymnasium.utils.env_checker import check_env

from autoprune.agents.rollouts import roll_out
from autoprune.agents.surrogate import (
    WORST,
    SurrogateEnv,
    mean_reward,
    planner_reward,
)
from tests.agents.surrogates import surrogate, surrogates


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
