"""VGG-19 for small images, with batch norm.

Simonyan and Zisserman 2015, "Very Deep Convolutional Networks", configuration E, in the form that
pruning papers use on CIFAR (Liu et al. 2017, "Network Slimming", section 4.1): batch norm after
every convolution, one linear layer. At 3x32x32, 10 classes: 20,035,018 parameters, 398.14 M MACs.
"""

from __future__ import annotations

from torch import Tensor, nn

from autoprune.networks.zoo.plain import plain_stages

WIDTHS = ((64,) * 2, (128,) * 2, (256,) * 4, (512,) * 4, (512,) * 4)


class VGG(nn.Module):
    """Stages of 3x3 convolutions with max pooling between them, average pooling, a linear layer."""

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__()
        stages = [[(width, 3) for width in widths] for widths in WIDTHS]
        self.features, width = plain_stages(channels, stages)
        self.classifier = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels, H, W], sides of at least 16 -> logits [B, classes]."""
        logits: Tensor = self.classifier(self.features(x).mean((2, 3)))
        return logits


def vgg19(classes: int, channels: int) -> VGG:
    """Build VGG-19 with batch norm."""
    return VGG(classes, channels)
