"""VGG-19 for small images, with batch norm.

Simonyan and Zisserman 2015, "Very Deep Convolutional Networks", configuration E, in the form that
pruning papers use on CIFAR (Liu et al. 2017, "Network Slimming", section 4.1): batch norm after
every convolution, one linear layer. At 3x32x32, 10 classes: 20,035,018 parameters, 398.14 M MACs.
"""

from __future__ import annotations

from torch import Tensor, nn

WIDTHS = ((64,) * 2, (128,) * 2, (256,) * 4, (512,) * 4, (512,) * 4)


class VGG(nn.Module):
    """Stages of 3x3 convolutions with max pooling between them, average pooling, a linear layer."""

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for stage, widths in enumerate(WIDTHS):
            if stage:
                layers.append(nn.MaxPool2d(2))
            for width in widths:
                conv = nn.Conv2d(channels, width, 3, padding=1, bias=False)
                nn.init.kaiming_normal_(conv.weight)
                layers += [conv, nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
                channels = width
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels, H, W], sides of at least 16 -> logits [B, classes]."""
        logits: Tensor = self.classifier(self.features(x).mean((2, 3)))
        return logits


def vgg19(classes: int, channels: int) -> VGG:
    """Build VGG-19 with batch norm."""
    return VGG(classes, channels)
