"""Default recipes of training."""

import pytest
from torch import nn

from autoprune.training.recipes import FEW, NORMED, PLAIN, RECURRENT, SOFTER, recipe, softened


@pytest.mark.parametrize(
    ("net", "expected"),
    [
        (nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)), NORMED),
        (nn.Sequential(nn.Linear(3, 2)), PLAIN),
        (nn.Sequential(nn.BatchNorm1d(3), nn.LSTM(3, 2)), RECURRENT),
    ],
)
def test_layers_decide_the_recipe_and_few_samples_its_length(net, expected):
    assert recipe(net, FEW) == expected
    few = recipe(net, FEW - 1)
    assert (few.epochs, few.batch_size) == (20, 64)
    assert few.optimizer == expected.optimizer
    gentle = softened(net, FEW)
    assert gentle.learning_rate == SOFTER * expected.learning_rate
    assert gentle.distill == 0.5
