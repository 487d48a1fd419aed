"""The body of plain networks: stages of convolutions, max pooling by 2 between them."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

Stage = Iterable[tuple[int, int]]
"""Width and kernel of the convolutions of one stage."""


def plain_stages(channels: int, stages: Iterable[Stage]) -> tuple[nn.Sequential, int]:
    """Return convolutions, each with batch norm and ReLU, and how many channels come out.

    [B, channels, H, W] -> [B, channels out, H', W'], the sides halved between the stages. The
    weights are initialized as in He et al. 2015, "Delving Deep into Rectifiers", section 2.2.
    """
    layers: list[nn.Module] = []
    for number, stage in enumerate(stages):
        if number:
            layers.append(nn.MaxPool2d(2))
        for width, kernel in stage:
            conv = nn.Conv2d(channels, width, kernel, padding=kernel // 2, bias=False)
            nn.init.kaiming_normal_(conv.weight)
            layers += [conv, nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
            channels = width
    return nn.Sequential(*layers), channels
