"""Statistics of weights."""

import math

import numpy as np
import torch

from autoprune.problem.statistics import weight_statistics
from tests.synthetic import residual


def test_weight_statistics_follow_the_norms_of_the_producers():
    structure = residual([4], 2)
    tensors = {
        info.name: torch.zeros([extent(structure.sizes) for extent in info.shape])
        for info in structure.tensors
    }
    tensors["a0.weight"][0] = 5.0  # all of inner0 in one unit
    tensors["b0.weight"][:] = 1.0  # both units of the stream alike
    found = weight_statistics(structure, tensors)
    norms = np.array([0, 0, 0, 4])
    assert found["inner0"].tolist() == [norms.std() / (1 + norms.std()), 0.0, 1.0]
    np.testing.assert_allclose(found["stream"], [0.0, 1.0, 0.5], atol=1e-12)
    tensors["b0.weight"][0, 0, 0, 0] = math.nan
    assert np.isfinite(weight_statistics(structure, tensors)["stream"]).all()
