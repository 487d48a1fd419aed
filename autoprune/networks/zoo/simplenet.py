"""SimpleNet: thirteen plain convolutions.

Hasanpour et al. 2016, "Lets keep it simple, Using simple architectures to outperform deeper and
more complex architectures", figure 1 and table 1 (5.48 M parameters). Every width is scaled by 5/8
here, which gives about the 8.7 MB that pruning tables list, and dropout is left out. At 3x32x32, 10
classes: 2,149,170 parameters, 247.10 M MACs.
"""

from __future__ import annotations

from torch import Tensor, nn

from autoprune.networks.zoo.plain import plain_stages

STAGES = (
    ((40, 3), (80, 3), (80, 3), (80, 3)),
    ((80, 3), (80, 3), (160, 3)),
    ((160, 3), (160, 3)),
    ((320, 3),),
    ((1280, 1), (160, 1)),
    ((160, 3),),
)
"""Width and kernel of the convolutions, max pooling by 2 between the stages."""


class SimpleNet(nn.Module):
    """Stages of convolutions, batch norm and ReLU, a global max pooling, a linear layer."""

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__()
        self.features, width = plain_stages(channels, STAGES)
        self.classifier = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels, H, W], sides of at least 32 -> logits [B, classes]."""
        logits: Tensor = self.classifier(self.features(x).amax((2, 3)))
        return logits


def simplenet(classes: int, channels: int) -> SimpleNet:
    """Build SimpleNet at 5/8 of its width."""
    return SimpleNet(classes, channels)
