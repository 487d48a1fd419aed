"""MobileNets with the strides of small images.

- mobilenetv1: Howard et al. 2017, "MobileNets", table 1, with stride 1 in the first convolution.
  At 3x32x32, 10 classes: 3,217,226 parameters, 46.35 M MACs.
- mobilenetv2: Sandler et al. 2018, "MobileNetV2", table 2, with stride 1 in the first convolution
  and in the first block of 24 channels. At 3x32x32, 10 classes: 2,236,682 parameters, 87.98 M MACs.
  (The common CIFAR code has 2,296,922: it adds shortcut convolutions that the paper does not have.)
"""

from __future__ import annotations

from torch import Tensor, nn

V1 = (
    ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2))
    + ((512, 1),) * 5
    + ((1024, 2), (1024, 1))
)
"""Output channels and stride of every depthwise-separable convolution."""

V2 = (
    (1, 16, 1, 1),
    (6, 24, 2, 1),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""Expansion, output channels, blocks, stride of the first: the paper's t, c, n, s."""


def _conv(
    inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, relu: bool = True
) -> list[nn.Module]:
    """Build a convolution, batch norm and, if ``relu``, ReLU6."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out")
    return [conv, nn.BatchNorm2d(outputs)] + ([nn.ReLU6(inplace=True)] if relu else [])


class Inverted(nn.Module):
    """Expand by a 1x1 convolution, filter each channel, project linearly; a residual if it fits."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        width = inputs * expansion
        expand = _conv(inputs, width, 1) if expansion > 1 else []
        self.conv = nn.Sequential(
            *expand,
            *_conv(width, width, 3, stride, groups=width),
            *_conv(width, outputs, 1, relu=False),
        )
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H / stride, W / stride]."""
        out: Tensor = self.conv(x)
        return x + out if self.residual else out


class MobileNet(nn.Module):
    """Convolutions, average pooling, a linear layer."""

    def __init__(self, features: list[nn.Module], width: int, classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(*features)
        self.classifier = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels, H, W] -> logits [B, classes]."""
        logits: Tensor = self.classifier(self.features(x).mean((2, 3)))
        return logits


def mobilenetv1(classes: int, channels: int) -> MobileNet:
    """Build MobileNetV1."""
    features, inputs = _conv(channels, 32, 3), 32
    for width, stride in V1:
        features += _conv(inputs, inputs, 3, stride, groups=inputs) + _conv(inputs, width, 1)
        inputs = width
    return MobileNet(features, inputs, classes)


def mobilenetv2(classes: int, channels: int) -> MobileNet:
    """Build MobileNetV2."""
    features, inputs = _conv(channels, 32, 3), 32
    for expansion, width, blocks, stride in V2:
        for block in range(blocks):
            features.append(Inverted(inputs, width, 1 if block else stride, expansion))
            inputs = width
    return MobileNet(features + _conv(inputs, 1280, 1), 1280, classes)
