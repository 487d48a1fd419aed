"""Networks of the lottery ticket hypothesis.

Frankle and Carbin 2019, "The Lottery Ticket Hypothesis", figure 2; LeNet-300-100 after LeCun et al.
1998, Conv-2/4/6 scaled-down VGGs for CIFAR-10. Weights are drawn as there (Glorot normal, zero
bias).

| network | input | parameters | MACs |
|---|---|---|---|
| lenet-300-100 | 1x28x28 | 266,610 | 0.27 M |
| conv-2 | 3x32x32 | 4,301,642 | 43.78 M |
| conv-4 | 3x32x32 | 2,425,930 | 98.31 M |
| conv-6 | 3x32x32 | 2,262,602 | 153.88 M |

The paper prints 4.3 M, 2.4 M and 1.7 M weights for the last three; from the layers it lists, Conv-6
comes to the 2.26 M here.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn


def lenet_300_100(classes: int, channels: int, size: int) -> nn.Sequential:
    """Build LeNet-300-100: [B, channels, size, size] -> logits [B, classes]."""
    return _glorot(
        nn.Sequential(
            OrderedDict(
                flatten=nn.Flatten(),
                fc1=nn.Linear(channels * size * size, 300),
                relu1=nn.ReLU(),
                fc2=nn.Linear(300, 100),
                relu2=nn.ReLU(),
                fc3=nn.Linear(100, classes),
            )
        )
    )


def conv_2(classes: int, channels: int, size: int) -> nn.Sequential:
    """Build Conv-2."""
    return _conv((64,), classes, channels, size)


def conv_4(classes: int, channels: int, size: int) -> nn.Sequential:
    """Build Conv-4."""
    return _conv((64, 128), classes, channels, size)


def conv_6(classes: int, channels: int, size: int) -> nn.Sequential:
    """Build Conv-6."""
    return _conv((64, 128, 256), classes, channels, size)


def _conv(widths: tuple[int, ...], classes: int, channels: int, size: int) -> nn.Sequential:
    """Build pairs of 3x3 convolutions with max pooling, then 256-256-classes."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for stage, width in enumerate(widths):
        for number in (2 * stage + 1, 2 * stage + 2):
            layers[f"conv{number}"] = nn.Conv2d(channels, width, 3, padding=1)
            layers[f"relu{number}"] = nn.ReLU()
            channels = width
        layers[f"pool{stage + 1}"] = nn.MaxPool2d(2)
        size //= 2
    layers["flatten"] = nn.Flatten()
    layers["fc1"], layers["fc1_relu"] = nn.Linear(channels * size * size, 256), nn.ReLU()
    layers["fc2"], layers["fc2_relu"] = nn.Linear(256, 256), nn.ReLU()
    layers["fc3"] = nn.Linear(256, classes)
    return _glorot(nn.Sequential(layers))


def _glorot(network: nn.Sequential) -> nn.Sequential:
    for module in network.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            nn.init.xavier_normal_(module.weight)
            if isinstance(module.bias, Tensor):
                nn.init.zeros_(module.bias)
    return network
