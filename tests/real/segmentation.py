"""Networks of segmentation-models-pytorch."""

from __future__ import annotations

from typing import Any

from torch import nn

from tests.real.network import Network, images
from tests.real.stubs import declare

declare()
import segmentation_models_pytorch as smp  # noqa: E402  it imports torchvision


def _net(name: str, encoder: str = "resnet18", **options: Any) -> Network:
    def build() -> nn.Module:
        return getattr(smp, name)(encoder, encoder_weights=None, classes=5, **options)

    return Network(f"segmentation:{name}", build, images(128 if name == "PAN" else 64))


NETWORKS = [
    _net("Unet"),
    _net("UnetPlusPlus"),
    _net("FPN"),
    _net("Linknet"),
    _net("PSPNet"),
    _net("PAN"),
    _net("DeepLabV3Plus"),
    _net("MAnet"),
    _net("UPerNet"),
    _net("Segformer", "mit_b0"),
]
