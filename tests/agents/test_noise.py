"""Exploration noise: decay, range, and no accumulation at the ends."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from autoprune.agents.noise import Decay, truncated_normal


@given(st.integers(0, 1000))
def test_noise_decays_to_its_least(episode):
    decay = Decay(0.5, 0.9, 0.05)
    assert 0.05 <= decay(episode + 1) <= decay(episode) <= 0.5


@given(st.floats(-1, 1, width=32), st.floats(0, 3), st.integers(0, 100))
def test_noise_stays_in_range(mean, sigma, seed):
    means = np.full(50, mean, np.float32)
    drawn = truncated_normal(means, sigma, np.random.default_rng(seed))
    assert drawn.dtype == np.float32 and np.all(np.abs(drawn) <= 1)
    assert np.all(means == mean)
    if sigma == 0:
        assert np.array_equal(drawn, means)


def test_noise_does_not_pile_up_at_the_ends():
    drawn = truncated_normal(np.full(4000, 0.9, np.float32), 0.5, np.random.default_rng(0))
    assert np.count_nonzero(drawn == 1) == 0
    assert drawn.mean() < 0.75
