"""Folding of batch norms into convolutions."""

import torch
from torch import nn

from autoprune.data.classification import Classification
from autoprune.networks.folding import find_foldable, folded

TASK = Classification()


class Twice(nn.Module):
    """A convolution whose output is used past its norm, too."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3)

    def forward(self, x):
        y = self.conv(x)
        return (self.norm(y) + y).mean((2, 3))


def shaken(net):
    """The network in eval mode, its norms with statistics and weights of their own."""
    torch.manual_seed(0)
    for tensor in [*net.parameters(), *net.buffers()]:
        if tensor.is_floating_point():
            tensor.data.uniform_(0.5, 1.5)
    return net.eval()


def test_folded_networks_compute_the_same_and_come_back_as_they_were():
    net = shaken(nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Flatten()))
    batch = torch.randn(2, 2, 5, 5), torch.tensor([0, 1])
    pairs = find_foldable(net, TASK, batch)
    assert [(pair.conv, pair.norm) for pair in pairs] == [(net[0], net[1])]
    before, weight = net(batch[0]), net[0].weight
    with folded(pairs):
        assert net[0].weight is not weight
        torch.testing.assert_close(net(batch[0]), before)
    assert net[0].weight is weight and torch.equal(net(batch[0]), before)


def test_outputs_that_are_used_elsewhere_are_not_folded():
    batch = torch.randn(2, 2, 5, 5), torch.tensor([0, 1])
    assert find_foldable(shaken(Twice()), TASK, batch) == ()
