"""Registry of the zoo: networks by name."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from autoprune.errors import UsageError
from autoprune.networks.zoo import (
    cifar_resnet,
    densenet,
    imagenet_resnet,
    lenet,
    mobilenet,
    ocrnet,
    simplenet,
    vgg,
)


@dataclass(frozen=True)
class ZooNetwork:
    """A builder, and the input it was published for: ``classes``, ``channels``, image ``size``.

    ``size`` is the side of a square image, or (height, width). ``builder`` takes keywords: those of
    these three that shape the network, and options of its own.
    """

    builder: Callable[..., nn.Module]
    classes: int = 10
    channels: int = 3
    size: int | tuple[int, int] = 32

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of the input."""
        size = (self.size, self.size) if isinstance(self.size, int) else self.size
        return (self.channels, *size)

    @property
    def options(self) -> dict[str, Any]:
        """The options that ``build`` takes for this network, with their defaults."""
        published = {"classes": self.classes, "channels": self.channels, "size": self.size}
        return {
            name: published.get(name, parameter.default)
            for name, parameter in inspect.signature(self.builder).parameters.items()
        }


NETWORKS: dict[str, ZooNetwork] = {
    "digits-resnet": ZooNetwork(cifar_resnet.digits_resnet, channels=1, size=8),
    "resnet20": ZooNetwork(cifar_resnet.resnet20),
    "resnet32": ZooNetwork(cifar_resnet.resnet32),
    "resnet44": ZooNetwork(cifar_resnet.resnet44),
    "resnet56": ZooNetwork(cifar_resnet.resnet56),
    "resnet110": ZooNetwork(cifar_resnet.resnet110),
    "plain20": ZooNetwork(cifar_resnet.plain20),
    "resnet18": ZooNetwork(imagenet_resnet.resnet18, classes=1000, size=224),
    "resnet50": ZooNetwork(imagenet_resnet.resnet50, classes=1000, size=224),
    "vgg19": ZooNetwork(vgg.vgg19),
    "densenet40": ZooNetwork(densenet.densenet40),
    "mobilenetv1": ZooNetwork(mobilenet.mobilenetv1),
    "mobilenetv2": ZooNetwork(mobilenet.mobilenetv2),
    "simplenet": ZooNetwork(simplenet.simplenet),
    "lenet-300-100": ZooNetwork(lenet.lenet_300_100, channels=1, size=28),
    "conv-2": ZooNetwork(lenet.conv_2),
    "conv-4": ZooNetwork(lenet.conv_4),
    "conv-6": ZooNetwork(lenet.conv_6),
    "ocrnet": ZooNetwork(ocrnet.ocrnet, classes=63, channels=1, size=(32, 128)),
}


def find(name: str) -> ZooNetwork:
    """Return the network ``name``; raise UsageError with the names that come close."""
    if name not in NETWORKS:
        close = difflib.get_close_matches(name, NETWORKS, n=3, cutoff=0.4)
        raise UsageError(f"unknown network {name!r}", f"try {', '.join(close or NETWORKS)}")
    return NETWORKS[name]


def build(name: str, **options: Any) -> nn.Module:
    """Build the network ``name`` with fresh weights, drawn from torch's global generator.

    ``options``: ``classes``, ``channels`` and ``size`` (side of the image), each defaulting to what
    the network was published for and ignored where it shapes nothing, and options of the network's
    own, as ``shortcut="B"``. Raises UsageError for an unknown name or option.
    """
    network = find(name)
    unknown = set(options) - set(network.options) - {"classes", "channels", "size"}
    if unknown:
        raise UsageError(
            f"{name} has no option {min(unknown)!r}", f"it has {', '.join(network.options)}"
        )
    given = {key: value for key, value in options.items() if key in network.options}
    return network.builder(**network.options | given)
