"""Small networks of many kinds, for policies that must plan for networks they never saw.

Each is named by its kind and its number of layers, and trains on one core in minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

CLASSES = 10


def unit(inputs: int, outputs: int, size: int = 3, stride: int = 1, groups: int = 1) -> nn.Module:
    """Return a convolution, its batch norm and ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


def head(width: int) -> nn.Module:
    """Return an average over positions and the classifier."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, CLASSES))


def plain(channels: int, widths: Sequence[int], strides: Sequence[int]) -> nn.Module:
    """Return a chain of 3x3 convolutions."""
    layers, before = [], channels
    for width, stride in zip(widths, strides, strict=True):
        layers.append(unit(before, width, stride=stride))
        before = width
    return nn.Sequential(*layers, head(before))


class Residual(nn.Module):
    """Two convolutions beside a shortcut, which is a projection where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int, inner: int) -> None:
        super().__init__()
        self.first = unit(inputs, inner, stride=stride)
        self.second = nn.Conv2d(inner, outputs, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(outputs)
        same = inputs == outputs and stride == 1
        self.shortcut: nn.Module = (
            nn.Identity() if same else nn.Conv2d(inputs, outputs, 1, stride, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Add what the convolutions change."""
        added: Tensor = self.norm(self.second(self.first(x))) + self.shortcut(x)
        return added.relu()


def residual(channels: int, widths: Sequence[int], blocks: int, inner: float = 1.0) -> nn.Module:
    """Return stages of residual blocks, ``inner`` times as wide inside."""
    layers: list[nn.Module] = [unit(channels, widths[0])]
    before = widths[0]
    for stage, width in enumerate(widths):
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            layers.append(Residual(before, width, stride, int(inner * width)))
            before = width
    return nn.Sequential(*layers, head(before))


def separable(channels: int, widths: Sequence[int], strides: Sequence[int]) -> nn.Module:
    """Return depthwise and 1x1 convolutions in turn."""
    layers = [unit(channels, widths[0])]
    for before, width, stride in zip(widths, widths[1:], strides, strict=False):
        layers += [unit(before, before, stride=stride, groups=before), unit(before, width, 1)]
    return nn.Sequential(*layers, head(widths[-1]))


class Inception(nn.Module):
    """Parallel 1x1, 3x3 and twofold 3x3 convolutions, concatenated."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.one = unit(inputs, width, 1)
        self.three = nn.Sequential(unit(inputs, width, 1), unit(width, width))
        self.five = nn.Sequential(unit(inputs, width, 1), unit(width, width), unit(width, width))

    def forward(self, x: Tensor) -> Tensor:
        """Concatenate."""
        return torch.cat([self.one(x), self.three(x), self.five(x)], 1)


def inception(channels: int, widths: Sequence[int]) -> nn.Module:
    """Return parallel convolutions in each stage, with pooling between."""
    layers: list[nn.Module] = [unit(channels, 24, stride=2)]
    before = 24
    for width in widths:
        layers += [Inception(before, width), nn.MaxPool2d(2)]
        before = 3 * width
    return nn.Sequential(*layers[:-1], head(before))


def squeezing(channels: int, widths: Sequence[int]) -> nn.Module:
    """Return 1x1 convolutions to a quarter and 3x3 convolutions back, in turn."""
    layers, before = [unit(channels, 32, stride=2)], 32
    for place, width in enumerate(widths):
        layers += [unit(before, width // 4, 1), unit(width // 4, width, stride=1 + place % 2)]
        before = width
    return nn.Sequential(*layers, head(before))


def perceptron(channels: int, size: int, widths: Sequence[int]) -> nn.Module:
    """Return linear layers."""
    layers: list[nn.Module] = [nn.Flatten()]
    before = channels * size * size
    for width in widths:
        layers += [nn.Linear(before, width), nn.ReLU()]
        before = width
    return nn.Sequential(*layers, nn.Linear(before, CLASSES))


NETWORKS: dict[str, Callable[[int, int], nn.Module]] = {
    "plain5": lambda c, s: plain(c, (16, 32, 32, 64, 64), (1, 2, 1, 2, 1)),
    "plain9": lambda c, s: plain(
        c, (16, 16, 24, 32, 32, 48, 64, 64, 64), (1, 2, 1, 1, 2, 1, 1, 2, 1)
    ),
    "taper6": lambda c, s: plain(c, (64, 48, 48, 32, 32, 32), (2, 1, 1, 2, 1, 1)),
    "vgg7": lambda c, s: plain(c, (24, 24, 48, 48, 96, 96, 96), (1, 2, 1, 2, 1, 2, 1)),
    "residual8": lambda c, s: residual(c, (16, 32, 64), 1),
    "residual14": lambda c, s: residual(c, (16, 24, 48), 2),
    "bottleneck14": lambda c, s: residual(c, (24, 48, 96), 2, 0.5),
    "inverted8": lambda c, s: residual(c, (12, 24, 48), 1, 3.0),
    "separable9": lambda c, s: separable(c, (24, 48, 64, 96, 128), (2, 1, 2, 1)),
    "inception7": lambda c, s: inception(c, (16, 24, 32)),
    "squeezing9": lambda c, s: squeezing(c, (48, 64, 96, 128)),
    "perceptron4": lambda c, s: perceptron(c, s, (256, 128, 128)),
}
"""Kind and depth -> the network for images of so many channels and pixels a side."""


def build(name: str, channels: int = 3, size: int = 32) -> nn.Module:
    """Build a network by its name, with fresh weights."""
    return NETWORKS[name](channels, size)
