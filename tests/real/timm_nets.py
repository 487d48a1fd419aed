"""Networks of timm: its own constructors, few and narrow blocks."""

from __future__ import annotations

from typing import Any

from torch import nn

from tests.real.network import Network, images
from tests.real.stubs import declare

declare()
import timm  # noqa: E402  it imports torchvision, which needs the stand-ins

CLASSES = 5
VIT: dict[str, Any] = {"embed_dim": 48, "depth": 2, "num_heads": 4, "img_size": 32, "patch_size": 8}


def _net(name: str, size: int = 32, **options: Any) -> Network:
    def build() -> nn.Module:
        return timm.create_model(name, pretrained=False, num_classes=CLASSES, **options)

    return Network(f"timm:{name}", build, images(size))


STAGES: dict[str, Any] = {"depths": (1, 1, 2, 1), "dims": (16, 24, 32, 48)}

NETWORKS = [
    _net("vit_tiny_patch16_224", **VIT),
    _net("deit3_small_patch16_224", **VIT),
    _net("beit_base_patch16_224", **VIT),
    _net("cait_xxs24_224", **VIT, init_values=0.5),
    _net("xcit_nano_12_p8_224", embed_dim=48, depth=2, num_heads=4, img_size=32, patch_size=8),
    _net("eva02_tiny_patch14_224", **VIT),
    _net("levit_128s", 64, img_size=64, embed_dim=(32, 48, 64), num_heads=(2, 3, 4),
         depth=(1, 1, 1)),
    _net("swin_tiny_patch4_window7_224", img_size=32, patch_size=2, window_size=4, embed_dim=24,
         depths=(2, 2), num_heads=(2, 4)),
    _net("pvt_v2_b0", 64, depths=(1, 1, 1, 1), embed_dims=(16, 24, 32, 48), num_heads=(1, 2, 4, 4)),
    _net("poolformer_s12", 64),
    _net("convnext_atto", 64, **STAGES),
    _net("convnextv2_atto", 64, **STAGES),
    _net("edgenext_xx_small", 64, depths=(1, 1, 1, 1), dims=(16, 24, 32, 48), heads=(2, 2, 2, 2)),
    _net("mixer_s16_224", 64, img_size=64),
    _net("mobilevit_xxs", 64),
    _net("efficientvit_b0", 64),
    _net("fastvit_t8", 64, layers=(1, 1, 1, 1), embed_dims=(16, 32, 64, 128)),
    _net("res2net50_26w_4s", 64),
    _net("resnetv2_50x1_bit", 64),
    _net("nf_resnet26", 64),
    _net("ghostnet_050", 64),
    _net("repvgg_a0", 64),
    _net("hrnet_w18_small", 64),
    _net("mobileone_s0", 64),
    _net("resnest14d", 64),
    _net("skresnet18", 64),
    _net("tf_efficientnetv2_b0", 64),
    _net("dla34", 64),
    _net("ese_vovnet19b_slim", 64),
    _net("coatnet_nano_rw_224", 64, img_size=64, depths=(1, 1, 1, 1), embed_dim=(32, 64, 96, 128)),
    _net("maxvit_nano_rw_256", 64, img_size=64, depths=(1, 1), embed_dim=(32, 64)),
]  # fmt: skip
