"""Small transformers of the suite's tables: of images and of bytes."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, scaled_dot_product_attention

PATCH: Final = 7
PATCHES: Final = 16
"""Patches of an image of 28 x 28."""

BYTES: Final = 256
LENGTH: Final = 64
"""Bytes of a text."""


class Block(nn.Module):
    """Attention and an MLP, each behind a layer norm and around a shortcut."""

    def __init__(self, width: int, heads: int, causal: bool) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.q, self.k, self.v = (nn.Linear(width, width) for _ in range(3))
        self.proj = nn.Linear(width, width)
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.size, self.causal = width // heads, causal

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, width] -> [B, T, width]."""
        x = x + self.attend(self.norm1(x))
        out: Tensor = x + self.fc2(gelu(self.fc1(self.norm2(x))))
        return out

    def attend(self, x: Tensor) -> Tensor:
        """[B, T, width] -> [B, T, width]."""
        q, k, v = (self.heads(part(x)) for part in (self.q, self.k, self.v))
        mixed = scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        out: Tensor = self.proj(mixed.transpose(1, 2).flatten(2))
        return out

    def heads(self, x: Tensor) -> Tensor:
        """[B, T, heads * size] -> [B, heads, T, size]."""
        return x.unflatten(2, (-1, self.size)).transpose(1, 2)


class ViT(nn.Module):
    """Vision transformer of gray images of 28 x 28: patches of 7 x 7, their mean is classified."""

    def __init__(self, width: int = 64, depth: int = 6, heads: int = 4) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, width, PATCH, PATCH)
        self.places = nn.Parameter(0.02 * torch.randn(1, PATCHES, width))
        self.blocks = nn.Sequential(*(Block(width, heads, causal=False) for _ in range(depth)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        """[B, 1, 28, 28] -> logits [B, 10]."""
        tokens = self.patches(x).flatten(2).transpose(1, 2) + self.places
        logits: Tensor = self.head(self.norm(self.blocks(tokens)).mean(1))
        return logits


class GPT(nn.Module):
    """Language model of bytes."""

    def __init__(self, width: int = 96, depth: int = 4, heads: int = 4) -> None:
        super().__init__()
        self.tokens = nn.Embedding(BYTES, width)
        self.places = nn.Parameter(0.02 * torch.randn(1, LENGTH, width))
        self.blocks = nn.Sequential(*(Block(width, heads, causal=True) for _ in range(depth)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, BYTES)

    def forward(self, input_ids: Tensor) -> Tensor:
        """[B, T] -> logits [B, T, 256]."""
        x = self.tokens(input_ids) + self.places[:, : input_ids.shape[1]]
        logits: Tensor = self.head(self.norm(self.blocks(x)))
        return logits


def small_vit() -> ViT:
    """Build the vision transformer, 0.31 M parameters."""
    return ViT()


def small_gpt() -> GPT:
    """Build the language model, 0.50 M parameters."""
    return GPT()
