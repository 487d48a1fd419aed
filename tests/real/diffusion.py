"""Networks of diffusers: what denoises, and what codes images."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from tests.real.network import Network, images
from tests.real.stubs import declare

declare()
import diffusers  # noqa: E402  it imports torchvision


def _unet() -> nn.Module:
    return diffusers.UNet2DModel(
        sample_size=16, block_out_channels=(16, 32), layers_per_block=1, norm_num_groups=4,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"), attention_head_dim=8,
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    )  # fmt: skip


def _conditional() -> nn.Module:
    return diffusers.UNet2DConditionModel(
        sample_size=16, block_out_channels=(16, 32), layers_per_block=1, norm_num_groups=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), attention_head_dim=8,
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), cross_attention_dim=24,
    )  # fmt: skip


def _coder() -> nn.Module:
    return diffusers.AutoencoderKL(
        block_out_channels=(16, 32), layers_per_block=1, norm_num_groups=4, latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
    )  # fmt: skip


def _dit() -> nn.Module:
    return diffusers.DiTTransformer2DModel(
        num_attention_heads=4, attention_head_dim=12, in_channels=4, out_channels=8, num_layers=2,
        sample_size=8, patch_size=2, num_embeds_ada_norm=10, norm_num_groups=4,
    )  # fmt: skip


def _noisy(channels: int = 3, **more: Any) -> dict[str, Any]:
    return {
        "sample": torch.randn(2, channels, 16, 16),
        "timestep": torch.tensor([3, 7]),
        **more,
    }


def _latent() -> dict[str, Any]:
    return {
        "hidden_states": torch.randn(2, 4, 8, 8),
        "timestep": torch.tensor([3, 7]),
        "class_labels": torch.tensor([1, 2]),
    }


NETWORKS = [
    Network("diffusers:UNet2DModel", _unet, _noisy),
    Network(
        "diffusers:UNet2DConditionModel",
        _conditional,
        lambda: _noisy(4, encoder_hidden_states=torch.randn(2, 5, 24)),
    ),
    Network("diffusers:AutoencoderKL", _coder, images(16)),
    Network("diffusers:DiTTransformer2DModel", _dit, _latent),
]
