"""Cutting of a network in place."""

import pytest
import torch
from torch import nn

from autoprune.errors import UsageError
from autoprune.structure.cutting import cut


def test_tensors_shrink_with_the_sizes_that_modules_store():
    net = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))
    net[0].weight.requires_grad_(False)
    rows, stays = net[0].weight.detach().clone(), torch.tensor([0, 2])
    names = [("0.weight", 0), ("0.bias", 0), ("2.weight", 1)]
    names += [(f"1.{name}", 0) for name in ("weight", "bias", "running_mean", "running_var")]
    cut(net, dict.fromkeys(names, stays), {})
    assert torch.equal(net[0].weight, rows[stays]) and not net[0].weight.requires_grad
    assert (net[0].out_features, net[1].num_features, net[2].in_features) == (2, 2, 2)
    assert net(torch.randn(5, 4)).shape == (5, 2)


def test_depthwise_convolutions_change_their_groups():
    net = nn.Sequential(nn.Conv2d(4, 8, 3, groups=4))
    stays = torch.tensor([0, 1, 4, 5])
    cut(net, {("0.weight", 0): stays, ("0.bias", 0): stays}, {})
    assert (net[0].groups, net[0].in_channels, net[0].out_channels) == (2, 2, 4)
    assert net(torch.randn(1, 2, 5, 5)).shape == (1, 4, 3, 3)


def test_tied_weights_stay_tied():
    net = nn.ModuleList([nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)])
    net[1].weight = net[0].weight
    cut(net, {("0.weight", 0): torch.tensor([1])}, {})
    assert net[1].weight is net[0].weight and net[1].out_features == 1


@pytest.mark.parametrize(
    ("key", "index"), [(("1.weight", 0), [0]), (("0.weight", 0), [3]), (("0.weight", 2), [0])]
)
def test_another_network_is_refused(key, index):
    with pytest.raises(UsageError):
        cut(nn.Sequential(nn.Linear(4, 3)), {key: torch.tensor(index)}, {})
