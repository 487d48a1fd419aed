"""Networks of half the width, so that two cores can train them often."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from autoprune.networks.zoo.cifar_resnet import SmallResNet


def conv_2(classes: int, channels: int, size: int) -> nn.Sequential:
    """Build Conv-2 of Frankle and Carbin 2019 with 32 filters and 128 hidden units."""
    network = nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(channels, 32, 3, padding=1),
            relu1=nn.ReLU(),
            conv2=nn.Conv2d(32, 32, 3, padding=1),
            relu2=nn.ReLU(),
            pool=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            fc1=nn.Linear(32 * (size // 2) ** 2, 128),
            relu3=nn.ReLU(),
            fc2=nn.Linear(128, 128),
            relu4=nn.ReLU(),
            fc3=nn.Linear(128, classes),
        )
    )
    for name, value in network.named_parameters():
        (nn.init.zeros_ if name.endswith("bias") else nn.init.xavier_normal_)(value)
    return network


def resnet20(classes: int, channels: int) -> SmallResNet:
    """Build ResNet-20, option A, with widths 8, 16 and 32."""
    return SmallResNet(3, (8, 16, 32), classes, channels, "A")
