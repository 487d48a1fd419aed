"""Weights of any magnitude: rankings do not depend on a scale that the next layer takes back."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import autoprune
from autoprune.data import Split
from autoprune.data.classification import Classification
from autoprune.ranking.gram import RegressionConfig
from autoprune.ranking.rank import rank
from autoprune.ranking.reconstruction import Reconstruction
from autoprune.ranking.registry import RANKINGS
from autoprune.structure.slicing import Slicer

IMAGES = torch.randn(48, 2, 6, 6, generator=torch.Generator().manual_seed(1))
SPLIT = Split((IMAGES, torch.arange(48) % 3))
TASK = Classification()


def net(first: float = 1.0, second: float = 1.0) -> nn.Module:
    """A network whose first two layers give ``first`` and ``second`` times what they did before.

    The layers after them take the factors back: the function stays.
    """
    torch.manual_seed(0)
    model = nn.Sequential(
        *(nn.Conv2d(2, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3, bias=False), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(32, 3)),
    ).eval()
    with torch.no_grad():
        model[0].weight.mul_(first)
        model[0].bias.mul_(first)
        model[2].weight.mul_(second).div_(first)
        model[5].weight.div_(second)
    return model


STRUCTURE = autoprune.analyze(net(), IMAGES[:2])
HALF = autoprune.Plan.uniform(STRUCTURE, 0.5)
NARROW, WIDE = RegressionConfig(), RegressionConfig(float64_columns=4)
"""Gram matrices in float64, as of small networks, and in float32, as of wide ones."""


def ranked(model, method, config):
    return rank(model, STRUCTURE, method, task=TASK, calibration=SPLIT, config=config)


FACTORS = st.sampled_from([1e-30, 1e-24, 1e-17, 1.0, 1e17, 1e24, 1e30])


@pytest.mark.parametrize("config", [NARROW, WIDE], ids=["float64", "float32"])
@pytest.mark.parametrize("method", RANKINGS)
@settings(max_examples=12, deadline=None)
@given(FACTORS, FACTORS)
def test_a_scale_that_is_taken_back_changes_no_order_error_or_repair(method, config, first, second):
    if not 1e-35 < second / first < 1e35:
        return  # no float32 between the layers
    plain, scaled = net(), net(first, second)
    one, other = ranked(plain, method, config), ranked(scaled, method, config)
    for group, order in one.orders.items():
        assert other.orders[group].tolist() == order.tolist()
        assert np.isfinite(other.errors[group]).all()
        np.testing.assert_allclose(other.errors[group], one.errors[group], rtol=0.02, atol=1e-6)
    outputs = [
        autoprune.prune(model, STRUCTURE, HALF, ranking)(IMAGES)
        for model, ranking in ((plain, one), (scaled, other))
    ]
    torch.testing.assert_close(outputs[1], outputs[0], rtol=0.01, atol=0.01)


@pytest.mark.parametrize("factor", [1e-30, 1e30])
def test_layers_are_fitted_whatever_their_scale(factor):
    built = []
    for model in (net(), net(factor, 1.0)):
        ranking = ranked(model, "regression", NARROW)
        reconstruct = Reconstruction(model, Slicer(model, STRUCTURE), TASK, SPLIT)
        built.append(reconstruct(ranking.kept(HALF), ranking.weights(HALF))(IMAGES))
    assert bool(built[1].isfinite().all())
    torch.testing.assert_close(built[1], built[0], rtol=0.1, atol=0.05)


def test_weights_that_hardly_exist_are_ranked():
    model = net()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1e-42)
    for method in RANKINGS:
        ranking = ranked(model, method, NARROW)
        for group, order in ranking.orders.items():
            assert sorted(order.tolist()) == list(range(STRUCTURE.sizes[group]))
            assert np.isfinite(ranking.errors[group]).all()
