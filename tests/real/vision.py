"""Networks of torchvision: names of its registry, narrow where its constructors allow it."""

from __future__ import annotations

from typing import Any

from torch import nn

from tests.real.network import Network, images
from tests.real.stubs import declare

declare()
from torchvision import models  # noqa: E402  it needs the stand-ins

CLASSES = 5


def _classifier(name: str, size: int = 32, **options: Any) -> Network:
    def build() -> nn.Module:
        found = models.get_model(name, weights=None, num_classes=CLASSES, **options)
        assert isinstance(found, nn.Module)
        return found

    return Network(f"torchvision:{name}", build, images(size))


def _vgg() -> nn.Module:
    model = models.vgg11_bn(weights=None, num_classes=CLASSES)
    model.avgpool = nn.AdaptiveAvgPool2d(2)  # else its first linear layer has 100 million weights
    model.classifier[0] = nn.Linear(512 * 4, 256)
    model.classifier[3] = nn.Linear(256, 256)
    model.classifier[6] = nn.Linear(256, CLASSES)
    return model


def _vit() -> nn.Module:
    return models.VisionTransformer(
        image_size=32, patch_size=8, num_layers=2, num_heads=4, hidden_dim=48, mlp_dim=96,
        num_classes=CLASSES,
    )  # fmt: skip


def _swin(block: Any = None) -> nn.Module:
    return models.SwinTransformer(
        patch_size=[2, 2], embed_dim=24, depths=[2, 2], num_heads=[2, 4], window_size=[4, 4],
        num_classes=CLASSES, **({"block": block} if block else {}),
    )  # fmt: skip


def _swin_v2() -> nn.Module:
    from torchvision.models.swin_transformer import PatchMergingV2, SwinTransformerBlockV2

    return models.SwinTransformer(
        patch_size=[2, 2], embed_dim=24, depths=[2, 2], num_heads=[2, 4], window_size=[4, 4],
        num_classes=CLASSES, block=SwinTransformerBlockV2, downsample_layer=PatchMergingV2,
    )  # fmt: skip


def _convnext() -> nn.Module:
    setting = [
        models.convnext.CNBlockConfig(24, 48, 2),
        models.convnext.CNBlockConfig(48, None, 2),
    ]
    return models.ConvNeXt(setting, num_classes=CLASSES, stochastic_depth_prob=0.0)


def _maxvit() -> nn.Module:
    return models.MaxVit(
        input_size=(32, 32), stem_channels=16, partition_size=4, block_channels=[16, 32],
        block_layers=[1, 1], head_dim=8, stochastic_depth_prob=0.0, num_classes=CLASSES,
    )  # fmt: skip


def _deeplab() -> nn.Module:
    return models.get_model(
        "deeplabv3_mobilenet_v3_large", weights=None, weights_backbone=None, num_classes=CLASSES,
        aux_loss=True,
    )  # fmt: skip


def _fcn() -> nn.Module:
    return models.get_model(
        "lraspp_mobilenet_v3_large", weights=None, weights_backbone=None, num_classes=CLASSES
    )


NETWORKS = [
    Network("torchvision:vgg11_bn", _vgg, images()),
    _classifier("resnet18"),
    _classifier("resnet50"),
    _classifier("resnext50_32x4d"),
    _classifier("squeezenet1_1", 64),
    _classifier("densenet121"),
    _classifier("googlenet", 64, aux_logits=True, init_weights=False),
    _classifier("inception_v3", 96, aux_logits=False, init_weights=False),
    _classifier("mobilenet_v2"),
    _classifier("mobilenet_v3_small"),
    _classifier("mnasnet0_5"),
    _classifier("efficientnet_b0"),
    _classifier("regnet_y_400mf"),
    _classifier("shufflenet_v2_x0_5"),
    Network("torchvision:vit", _vit, images()),
    Network("torchvision:swin", _swin, images()),
    Network("torchvision:swin_v2", _swin_v2, images()),
    Network("torchvision:convnext", _convnext, images()),
    Network("torchvision:maxvit", _maxvit, images()),
    Network("torchvision:deeplabv3_mobilenet", _deeplab, images(64)),
    Network("torchvision:lraspp_mobilenet", _fcn, images(64)),
]
