"""Normalization and augmentation of images, by the name of their source."""

from __future__ import annotations

import torch
from torch import Tensor

from autoprune.data.split import ImageForm

CIFAR = ImageForm((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616), shift=4, flip=True)

KNOWN = {"cifar10": CIFAR, "cifar10_jpeg": CIFAR}
"""Forms that published checkpoints were trained with, by the last part of the source's name."""


def image_form(name: str, images: Tensor) -> ImageForm:
    """Return the form for uint8 ``images`` [N, C, H, W] of the source ``name``.

    Known sources have their constants; all others the mean and standard deviation of ``images``.
    Color photographs are shifted by an eighth of their side and mirrored in augmented batches;
    gray images (digits, letters) are not.
    """
    known = KNOWN.get(name.rstrip("/").rsplit("/", 1)[-1].lower())
    if known and images.shape[1] == len(known.mean):
        return known
    moments = [_moments(images[:, channel]) for channel in range(images.shape[1])]
    mean, std = zip(*moments, strict=True)
    color = images.shape[1] == 3
    return ImageForm(mean, std, shift=images.shape[-1] // 8 if color else 0, flip=color)


def _moments(values: Tensor) -> tuple[float, float]:
    """Mean and standard deviation of uint8 values / 255, exact whatever their number."""
    counts = torch.bincount(values.reshape(-1), minlength=256).double()
    levels = torch.arange(256, dtype=torch.float64) / 255
    mean = (counts @ levels) / counts.sum()
    variance = (counts @ (levels - mean) ** 2) / counts.sum()
    deviation = float(variance.sqrt())
    return float(mean), deviation if deviation > 1e-6 else 1.0  # a channel of one value
