"""Layers by name: paths, wildcards, whole blocks, ties, and names that come close."""

import pytest
import torch
from torch import nn

from autoprune.errors import UsageError
from autoprune.networks import zoo
from autoprune.structure.analyze import analyze
from autoprune.structure.layer_names import groups_of
from autoprune.structure.plan import Plan


@pytest.fixture(scope="module")
def structure():
    return analyze(zoo.build("digits-resnet").eval(), torch.randn(2, 1, 8, 8))


@pytest.mark.parametrize(
    ("layer", "groups"),
    [
        ("conv1", ["conv1"]),
        ("layer1.0.conv2", ["conv1"]),  # ends in the residual stream that conv1 begins
        ("layer1.0.bn1", ["layer1.0.conv1"]),
        ("layer1.0.conv1.weight", ["layer1.0.conv1"]),
        ("layer1.?.conv1", ["layer1.0.conv1", "layer1.1.conv1"]),
        ("layer1", ["conv1", "layer1.0.conv1", "layer1.1.conv1"]),
        ("linear", []),  # its outputs are the network's
    ],
)
def test_a_layer_is_the_groups_that_it_puts_out(structure, layer, groups):
    assert list(groups_of(structure, layer)) == groups


def test_everything_matches_the_lone_wildcard(structure):
    assert groups_of(structure, "*") == tuple(structure.sizes)


def test_names_that_come_close_are_named(structure):
    with pytest.raises(UsageError, match=r"did you mean layer1\.0\.conv1"):
        groups_of(structure, "layer1.0.convv1")


def test_a_tied_weight_is_found_by_either_name():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(6, 6), nn.Linear(6, 6)
            self.second.weight = self.first.weight
            self.head = nn.Linear(6, 2)

        def forward(self, x):
            return self.head(self.second(self.first(x).relu()).relu())

    structure = analyze(Tied().eval(), torch.randn(2, 6))
    assert groups_of(structure, "second") == groups_of(structure, "first")


def test_a_plan_of_layers_counts_or_takes_fractions_and_the_last_name_decides(structure):
    plan = Plan.of_layers(structure, {"layer2.*": 0.25, "layer2.1": 5, "conv1": 1})
    wanted = structure.sizes | {"layer2.0.conv1": 8, "layer2.0.conv2": 5, "layer2.1.conv1": 5}
    assert dict(plan) == wanted | {"conv1": 1}
    assert Plan.of_layers(structure, {"conv1": 1.0}) == Plan.dense(structure)
    with pytest.raises(UsageError, match="keeps 17 of the 16 units of 'conv1'"):
        Plan.of_layers(structure, {"conv1": 17})
