"""The residual network for digits, and its weights compared to the bit."""

import torch

from autoprune.networks import zoo


def net(seed=0):
    torch.manual_seed(seed)
    return zoo.build("digits-resnet")


def state(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def equal(one, two):
    return all(torch.equal(a, b) for a, b in zip(one.values(), two.values(), strict=True))
