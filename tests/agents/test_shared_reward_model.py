"""Shared reward model: coefficients that networks agree on, and no others."""

import dataclasses

import numpy as np

from autoprune.agents.shared_reward_model import FEATURES, Evidence, SharedRewardModel, features
from autoprune.envs.walk import WalkContext
from tests.landscape import chain_landscape


def evidence(seed, coefficients, plans=40):
    """Plans of a synthetic network whose weights follow its features exactly."""
    rng = np.random.default_rng(seed)
    described = features(WalkContext.of(chain_landscape(seed, groups=9)))
    errors = rng.uniform(0, 0.5, (plans, 9))
    series = np.arange(plans) % 2
    rewards = -0.3 * errors @ (described @ coefficients) + 10.0 * series
    return Evidence(described, errors, rewards + rng.normal(0, 0.005, plans), series)


def test_what_networks_agree_on_is_found_whatever_the_level_of_each_series():
    truth = np.array([1.0, 0.7, 0.0, 0.0, 0.0, 0.0])
    model = SharedRewardModel.of([evidence(seed, truth) for seed in range(4)])
    assert 0.35 < model.mean[1] / model.mean[0] < 0.8  # shrunk, as three networks warrant
    other = features(WalkContext.of(chain_landscape(9, groups=7)))
    weights = model.weights(other)
    expected = other @ truth
    assert np.corrcoef(weights, expected)[0, 1] > 0.9


def test_only_what_networks_agree_on_moves_the_weights():
    up, down = (np.array([1.0, sign * 0.6, 0.0, 0.0, 0.0, 0.0]) for sign in (1, -1))
    alone = SharedRewardModel.of([evidence(0, up)])
    agreed = SharedRewardModel.of([evidence(0, up), evidence(1, up)])
    disputed = SharedRewardModel.of([evidence(0, up), evidence(1, down)])
    assert agreed.mean[1] > 0.2
    assert abs(alone.mean[1]) < 0.05 and abs(disputed.mean[1]) < 0.05


def bent(seed, curvature):
    """Plans of a synthetic network where an error's square counts too."""
    item = evidence(seed, np.eye(len(FEATURES))[0])
    damage = (item.errors + curvature * item.errors**2).sum(axis=1)
    return dataclasses.replace(item, rewards=-0.1 * damage)


def test_the_curvature_of_errors_is_found():
    for curvature in (0.0, 2.0, 8.0):
        assert (
            SharedRewardModel.of([bent(seed, curvature) for seed in range(3)]).curvature
            == curvature
        )


def test_a_network_whose_losses_the_errors_do_not_explain_has_little_influence():
    """One that was hardly trained scores by chance, and must not undo what others agree on."""
    truth = np.array([1.0, 0.6, 0.0, 0.0, 0.0, 0.0])
    good = [evidence(seed, truth) for seed in range(3)]
    rng = np.random.default_rng(0)
    noisy = dataclasses.replace(evidence(5, truth), rewards=rng.normal(0, 1, 40))
    described = features(WalkContext.of(chain_landscape(9, groups=7)))
    weights = SharedRewardModel.of([*good, noisy]).weights(described)
    assert np.corrcoef(weights, described @ truth)[0, 1] > 0.95
    assert SharedRewardModel.of([*good, noisy]).mean[1] > 0.3


def test_evidence_without_information_gives_finite_positive_weights():
    described = features(WalkContext.of(chain_landscape(0, groups=4)))
    for plans in (1, 2):
        flat = Evidence(described, np.full((plans, 4), 0.2), np.zeros(plans), np.zeros(plans, int))
        model = SharedRewardModel.of([flat])
        assert np.isfinite(model.mean).all()
        assert (model.weights(described) > 0).all()
