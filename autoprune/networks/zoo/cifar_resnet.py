"""Residual networks for small images, and the plain network they were compared with.

He et al. 2016, "Deep Residual Learning for Image Recognition", section 4.2: 6n + 2 layers of 3x3
convolutions in three stages of 16, 32, 64 channels. Parameter names are those of the common CIFAR
code, so public checkpoints load. Figures at 3x32x32, 10 classes:

| network | shortcut | parameters | MACs |
|---|---|---|---|
| resnet20 | A | 269,722 | 40.55 M |
| resnet32 | A | 464,154 | 68.86 M |
| resnet44 | A | 658,586 | 97.17 M |
| resnet56 | A | 853,018 | 125.49 M |
| resnet110 | A | 1,727,962 | 252.89 M |
| plain20 | none | 269,722 | 40.55 M |

``digits-resnet`` is the same design at 1x8x8, our own: two stages of 16 and 32 channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from torch import Tensor, nn
from torch.nn.functional import pad, relu

from autoprune.errors import UsageError

Shortcut = Literal["A", "B", "none"]
"""A: subsampled identity padded with zero channels; B: 1x1 convolution where shapes differ."""


CIFAR_WIDTHS = (16, 32, 64)


class PadShortcut(nn.Module):
    """Option A: every second pixel, and zero channels on both sides."""

    def __init__(self, extra: int, stride: int) -> None:
        super().__init__()
        self.before, self.after, self.stride = extra // 2, extra - extra // 2, stride

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C + extra, H / stride, W / stride]."""
        x = x[:, :, :: self.stride, :: self.stride]
        return pad(x, (0, 0, 0, 0, self.before, self.after))


class CifarBlock(nn.Module):
    """Two 3x3 convolutions and, unless ``shortcut`` is none, a way around them."""

    def __init__(self, inputs: int, outputs: int, stride: int, shortcut: Shortcut) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.residual = shortcut != "none"
        self.shortcut: nn.Module = nn.Sequential()
        if stride != 1 or inputs != outputs:
            if shortcut == "A":
                self.shortcut = PadShortcut(outputs - inputs, stride)
            elif shortcut == "B":
                self.shortcut = nn.Sequential(
                    nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
                )

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H / stride, W / stride]."""
        out = self.bn2(self.conv2(relu(self.bn1(self.conv1(x)))))
        return relu(out + self.shortcut(x)) if self.residual else relu(out)


class SmallResNet(nn.Module):
    """A 3x3 convolution, stages of blocks (all but the first halve the image), a linear layer."""

    def __init__(
        self,
        blocks: int,
        widths: Sequence[int],
        classes: int,
        channels: int,
        shortcut: Shortcut,
    ) -> None:
        super().__init__()
        if shortcut not in get_args(Shortcut):
            raise UsageError(f"no shortcut {shortcut!r}", "A, as in the paper, or B")
        self.conv1 = nn.Conv2d(channels, widths[0], 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.stages = len(widths)
        inputs = widths[0]
        for stage, width in enumerate(widths):
            steps = [2 if stage else 1] + [1] * (blocks - 1)
            layers = [
                CifarBlock(inputs if index == 0 else width, width, stride, shortcut)
                for index, stride in enumerate(steps)
            ]
            setattr(self, f"layer{stage + 1}", nn.Sequential(*layers))
            inputs = width
        self.linear = nn.Linear(inputs, classes)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels, H, W] -> logits [B, classes]."""
        x = relu(self.bn1(self.conv1(x)))
        for stage in range(self.stages):
            x = getattr(self, f"layer{stage + 1}")(x)
        logits: Tensor = self.linear(x.mean((2, 3)))
        return logits


def resnet20(classes: int, channels: int, shortcut: Shortcut = "A") -> SmallResNet:
    """Build ResNet-20."""
    return SmallResNet(3, CIFAR_WIDTHS, classes, channels, shortcut)


def resnet32(classes: int, channels: int, shortcut: Shortcut = "A") -> SmallResNet:
    """Build ResNet-32."""
    return SmallResNet(5, CIFAR_WIDTHS, classes, channels, shortcut)


def resnet44(classes: int, channels: int, shortcut: Shortcut = "A") -> SmallResNet:
    """Build ResNet-44."""
    return SmallResNet(7, CIFAR_WIDTHS, classes, channels, shortcut)


def resnet56(classes: int, channels: int, shortcut: Shortcut = "A") -> SmallResNet:
    """Build ResNet-56."""
    return SmallResNet(9, CIFAR_WIDTHS, classes, channels, shortcut)


def resnet110(classes: int, channels: int, shortcut: Shortcut = "A") -> SmallResNet:
    """Build ResNet-110."""
    return SmallResNet(18, CIFAR_WIDTHS, classes, channels, shortcut)


def plain20(classes: int, channels: int) -> SmallResNet:
    """Build the 20-layer network without shortcuts."""
    return SmallResNet(3, CIFAR_WIDTHS, classes, channels, "none")


def digits_resnet(classes: int, channels: int) -> SmallResNet:
    """Build the network of the embedded default: two stages of two blocks."""
    return SmallResNet(2, (16, 32), classes, channels, "B")
