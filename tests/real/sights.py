"""Vision networks of transformers: small configurations, random weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from tests.real.network import Network, images
from tests.real.stubs import declare

declare()
import transformers  # noqa: E402  it imports torchvision, which needs the stand-ins

VIT: dict[str, Any] = {
    "hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96,
    "image_size": 32, "patch_size": 8, "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0, "num_labels": 5,
}  # fmt: skip
CLIP: dict[str, Any] = {
    "hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
}  # fmt: skip


def _net(kind: str, head: str, size: int = 32, **options: Any) -> Network:
    def build() -> nn.Module:
        config = getattr(transformers, f"{kind}Config")(**options)
        return getattr(transformers, head)(config)

    return Network(f"transformers:{head}", build, images(size))


def _clip() -> nn.Module:
    text = {**CLIP, "vocab_size": 64, "max_position_embeddings": 16, "eos_token_id": 2}
    config = transformers.CLIPConfig(
        text_config=text,
        vision_config={**CLIP, "image_size": 32, "patch_size": 8},
        projection_dim=24,
    )
    return transformers.CLIPModel(config)


def _pair() -> dict[str, Any]:
    return {
        "input_ids": torch.randint(3, 60, (2, 12)),
        "pixel_values": torch.randn(2, 3, 32, 32),
        "attention_mask": torch.ones(2, 12, dtype=torch.int64),
    }


SEGFORMER: dict[str, Any] = {
    "depths": [1, 1, 1, 1], "hidden_sizes": [16, 24, 32, 48], "num_attention_heads": [1, 2, 4, 4],
    "decoder_hidden_size": 32, "num_labels": 5, "hidden_dropout_prob": 0.0, "drop_path_rate": 0.0,
    "attention_probs_dropout_prob": 0.0, "classifier_dropout_prob": 0.0,
}  # fmt: skip

NETWORKS = [
    _net("ViT", "ViTForImageClassification", **VIT),
    _net("DeiT", "DeiTForImageClassification", **VIT),
    _net("Dinov2", "Dinov2ForImageClassification", **VIT, mlp_ratio=2),
    _net("Beit", "BeitForImageClassification", **VIT),
    _net("Swin", "SwinForImageClassification", image_size=32, patch_size=2, embed_dim=24,
         depths=[2, 2], num_heads=[2, 4], window_size=4, num_labels=5, drop_path_rate=0.0),
    _net("Segformer", "SegformerForSemanticSegmentation", 64, **SEGFORMER),
    _net("MobileViT", "MobileViTForImageClassification", 64, image_size=64, num_labels=5),
    _net("ConvNext", "ConvNextForImageClassification", 64, hidden_sizes=[16, 24, 32, 48],
         depths=[1, 1, 1, 1], num_labels=5),
    _net("ResNet", "ResNetForImageClassification", 64, hidden_sizes=[32, 64, 96, 128],
         embedding_size=32, depths=[1, 1, 1, 1], num_labels=5),
    Network("transformers:CLIPModel", _clip, _pair,
            outputs=("logits_per_image", "logits_per_text")),
]  # fmt: skip
