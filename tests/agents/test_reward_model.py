"""Reward model: the weights that generated the rewards are recovered."""

import numpy as np

from autoprune.agents.reward_model import RewardModel


def test_the_critical_groups_are_found():
    rng = np.random.default_rng(0)
    weights = rng.lognormal(0, 1, 10)
    errors = rng.uniform(0, 0.3, (60, 10))
    rewards = 0.9 - errors @ weights / 10 + rng.normal(0, 0.002, 60)
    model = RewardModel.of(errors, rewards)
    assert np.corrcoef(-model.mean[1:], weights)[0, 1] > 0.98
    fresh = rng.uniform(0, 0.3, (200, 10))
    assert np.abs(model.expect(fresh) - (0.9 - fresh @ weights / 10)).max() < 0.02
    drawn = np.std([model.sample(rng).expect(fresh) for _ in range(200)], axis=0)
    assert 0 < drawn.mean() < 0.05


def test_one_evaluation_or_no_spread_of_rewards_is_enough():
    for errors, rewards in (
        (np.array([[0.1, 0.2]]), np.array([0.5])),
        (np.array([[0.1, 0.2], [0.2, 0.1]]), np.array([0.0, 0.0])),
        (np.zeros((2, 2)), np.array([0.5, 0.6])),
    ):
        model = RewardModel.of(errors, rewards)
        assert np.isfinite(model.expect(errors)).all()
        assert np.isfinite(model.sample(np.random.default_rng(0)).expect(errors)).all()
