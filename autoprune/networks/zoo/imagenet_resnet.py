"""Residual networks for ImageNet.

He et al. 2016, "Deep Residual Learning for Image Recognition", table 1, option B shortcuts. The
stride of a bottleneck sits in its 3x3 convolution and parameters are named as in torchvision, so
that its weights load. At 3x224x224, 1000 classes:

| network | parameters | MACs |
|---|---|---|
| resnet18 | 11,689,512 | 1.81 G |
| resnet50 | 25,557,032 | 4.09 G |
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import relu

WIDTHS = (64, 128, 256, 512)


class ImageNetBlock(nn.Module):
    """Convolutions with batch norm, added to their input, projected where shapes differ."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.downsample: nn.Module | None = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def residual(self, x: Tensor) -> Tensor:
        """Return what is added to the shortcut."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H / stride, W / stride]."""
        shortcut = x if self.downsample is None else self.downsample(x)
        return relu(shortcut + self.residual(x))


class BasicBlock(ImageNetBlock):
    """Two 3x3 convolutions."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__(inputs, width, stride)
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)

    def residual(self, x: Tensor) -> Tensor:
        """Return what is added to the shortcut."""
        out: Tensor = self.bn2(self.conv2(relu(self.bn1(self.conv1(x)))))
        return out


class Bottleneck(ImageNetBlock):
    """A 1x1, a 3x3 and a 1x1 convolution, the last four times as wide."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__(inputs, width * self.expansion, stride)
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, width * self.expansion, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width * self.expansion)

    def residual(self, x: Tensor) -> Tensor:
        """Return what is added to the shortcut."""
        out = relu(self.bn2(self.conv2(relu(self.bn1(self.conv1(x))))))
        projected: Tensor = self.bn3(self.conv3(out))
        return projected


class ResNet(nn.Module):
    """A 7x7 convolution, max pooling, four stages of blocks, a linear layer."""

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        blocks: tuple[int, int, int, int],
        classes: int,
        channels: int,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        last = [width * block.expansion for width in WIDTHS]
        self.layer1 = _stage(block, blocks[0], 64, WIDTHS[0], 1)
        self.layer2 = _stage(block, blocks[1], last[0], WIDTHS[1], 2)
        self.layer3 = _stage(block, blocks[2], last[1], WIDTHS[2], 2)
        self.layer4 = _stage(block, blocks[3], last[2], WIDTHS[3], 2)
        self.fc = nn.Linear(last[3], classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels, H, W] -> logits [B, classes]."""
        x = self.maxpool(relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        logits: Tensor = self.fc(x.mean((2, 3)))
        return logits


def _stage(
    block: type[BasicBlock] | type[Bottleneck], count: int, inputs: int, width: int, stride: int
) -> nn.Sequential:
    first = block(inputs, width, stride)
    rest = [block(width * block.expansion, width, 1) for _ in range(count - 1)]
    return nn.Sequential(first, *rest)


def resnet18(classes: int, channels: int) -> ResNet:
    """Build ResNet-18."""
    return ResNet(BasicBlock, (2, 2, 2, 2), classes, channels)


def resnet50(classes: int, channels: int) -> ResNet:
    """Build ResNet-50."""
    return ResNet(Bottleneck, (3, 4, 6, 3), classes, channels)
