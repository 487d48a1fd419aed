"""DenseNet-40 with growth rate 12.

Huang et al. 2017, "Densely Connected Convolutional Networks", section 4.2: three dense blocks of
12 layers, each adding 12 channels to all before it, after a convolution of 16 channels; no
bottleneck, no compression. At 3x32x32, 10 classes: 1,019,722 parameters, 264.81 M MACs (table 2
prints 1.0 M parameters; code that starts from 24 channels has 1.06 M and 282.92 M).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, relu

LAYERS, GROWTH, STEM = 12, 12, 16


class DenseLayer(nn.Module):
    """Batch norm, ReLU and a 3x3 convolution; its output is joined to its input."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, GROWTH, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C + GROWTH, H, W]."""
        return torch.cat([x, self.conv1(relu(self.bn1(x)))], 1)


class Transition(nn.Module):
    """Batch norm, ReLU, a 1x1 convolution of as many channels, average pooling by 2."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(width)
        self.conv1 = nn.Conv2d(width, width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H / 2, W / 2]."""
        return avg_pool2d(self.conv1(relu(self.bn1(x))), 2)


class DenseNet(nn.Module):
    """A 3x3 convolution, three dense blocks with transitions between them, a linear layer."""

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, STEM, 3, padding=1, bias=False)
        widths = [STEM + block * GROWTH * LAYERS for block in range(4)]
        self.dense1, self.trans1 = _dense(widths[0]), Transition(widths[1])
        self.dense2, self.trans2 = _dense(widths[1]), Transition(widths[2])
        self.dense3, self.bn = _dense(widths[2]), nn.BatchNorm2d(widths[3])
        self.linear = nn.Linear(widths[3], classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels, H, W] -> logits [B, classes]."""
        x = self.trans1(self.dense1(self.conv1(x)))
        x = self.dense3(self.trans2(self.dense2(x)))
        logits: Tensor = self.linear(relu(self.bn(x)).mean((2, 3)))
        return logits


def _dense(width: int) -> nn.Sequential:
    return nn.Sequential(*(DenseLayer(width + GROWTH * index) for index in range(LAYERS)))


def densenet40(classes: int, channels: int) -> DenseNet:
    """Build DenseNet-40, growth rate 12."""
    return DenseNet(classes, channels)
