"""Canvases of garments, each pixel a class, from the images of Fashion-MNIST; and a U-Net.

The directory of the images comes from the environment variable ``SOURCE``: functions that are named
on the command line take no paths.
"""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import Tensor, nn

from autoprune.data import Split, load_data

SOURCE = "AUTOPRUNE_BENCHMARK_IMAGES"
SIDE, GARMENTS = 64, 3
TRAIN, TEST = 6000, 1000
INK = 24
"""Brightness (of 255) from which a pixel belongs to its garment."""


def build() -> dict[str, Any]:
    """Return the splits: uint8 images [N, 1, 64, 64], int64 labels [N, 64, 64], 0 for none."""
    data = load_data(os.environ[SOURCE])
    train, test = (_canvases(*pair) for pair in ((data.train, TRAIN), (data.test, TEST)))
    return {"train": train, "test": test}


def unet() -> nn.Module:
    """Return a small U-Net for one channel and eleven classes."""
    import segmentation_models_pytorch as library

    return library.Unet(
        "resnet18",
        encoder_weights=None,
        encoder_depth=3,
        decoder_channels=(64, 32, 16),
        in_channels=1,
        classes=11,
    )


def _canvases(split: Split, count: int) -> tuple[Tensor, Tensor]:
    """Draw canvases of three garments each; a later one hides what is under it."""
    generator = torch.Generator().manual_seed(0)
    images, labels = split.content
    canvases = torch.zeros(count, 1, SIDE, SIDE, dtype=torch.uint8)
    classes = torch.zeros(count, SIDE, SIDE, dtype=torch.int64)
    size = images.shape[-1]
    chosen = torch.randint(len(split), (count, GARMENTS), generator=generator)
    corners = torch.randint(SIDE - size + 1, (count, GARMENTS, 2), generator=generator)
    for at in range(count):
        for row, (top, left) in zip(chosen[at].tolist(), corners[at].tolist(), strict=True):
            image = images[row, 0]
            area = (at, slice(top, top + size), slice(left, left + size))
            ink = image >= INK
            canvases[:, 0][area] = torch.where(ink, image, canvases[:, 0][area])
            classes[area] = torch.where(ink, labels[row] + 1, classes[area])
    return canvases, classes
