"""Pictures: one file or its content to pixels, of the size that is asked for."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autoprune.errors import DamagedError, UsageError

Row = tuple[str | bytes, int]
"""An image, as the path of its file or as the file's content, and its label."""

Pixels = NDArray[np.uint8]
"""Image [H, W, 3], or gray [H, W]."""

GRAY: Final = {"1", "L", "LA", "I", "I;16", "F"}
"""Pillow's modes of images without color."""

MOST_PIXELS: Final = 2**26
"""Pixels of an image, 8192 x 8192: what a file of a few bytes claims beyond is not decoded."""


def decode(
    content: str | bytes, what: str, *, gray: bool | None = None, resize: int | None = None
) -> Pixels:
    """Decode an image, as ``gray`` says, or as it is if that is None.

    With ``resize`` its shorter side becomes so many pixels, by Pillow's bilinear filter, and the
    longer one is cut off on both sides to a square.

    Raises DamagedError, naming it ``what``, if it cannot be decoded.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content) if isinstance(content, bytes) else content) as image:
            if image.width * image.height > MOST_PIXELS:
                raise ValueError(f"{image.width}x{image.height} pixels are too many")
            gray = image.mode in GRAY if gray is None else gray
            plain = image.convert("L" if gray else "RGB")
            if resize is not None:
                plain = _square(plain, resize)
            return np.asarray(plain)
    except (
        *(OSError, SyntaxError, ValueError, ImportError),  # libraries add openers of their own
        *(Image.DecompressionBombError, Image.DecompressionBombWarning),
    ) as error:
        raise DamagedError(
            f"{what} cannot be read: {error}", f"images have at most {MOST_PIXELS:,} pixels"
        ) from None


def _square(image: Any, size: int) -> Any:
    """Cut the middle square out of an image and bring it to ``size`` pixels a side.

    In one step: a picture of one row of pixels would be huge between two.
    """
    from PIL import Image

    width, height = image.size
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    return image.resize(
        (size, size), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side)
    )


class Pictures:
    """Data set of images that are decoded as they are read: uint8 [C, H, W] and label.

    ``like`` is the first image: all others are as it in color, and must be so in size.
    """

    def __init__(
        self, name: str, rows: Sequence[Row], classes: int, like: Pixels, resize: int | None
    ) -> None:
        self._name, self._rows, self._classes = name, rows, classes
        self._shape, self._resize = like.shape, resize

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, number: int) -> tuple[Tensor, int]:
        content, label = self._rows[number]
        where = content if isinstance(content, str) else f"image {number}"
        gray = len(self._shape) == 2
        pixels = decode(content, f"{self._name}: {where}", gray=gray, resize=self._resize)
        check(self._name, where, pixels, self._shape, label, self._classes)
        return as_channels(torch.from_numpy(pixels.copy())[None])[0], label


def as_channels(pixels: Tensor) -> Tensor:
    """Turn [N, H, W, 3] or gray [N, H, W] into [N, C, H, W]."""
    return pixels[:, None] if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2).contiguous()


def check(
    name: str, where: str, pixels: Pixels, shape: tuple[int, ...], label: int, classes: int
) -> None:
    """Raise UsageError for an image of another size than the first, or a label that is none."""
    if pixels.shape != shape:
        raise UsageError(
            f"{name}: images differ in size: {where} has {pixels.shape[1]}x{pixels.shape[0]}, the"
            f" first {shape[1]}x{shape[0]}",
            "--resize N brings them to one size, resize=N in Python",
        )
    if not isinstance(label, int) or not 0 <= label < classes:
        raise UsageError(f"{name}: {where} has label {label}, there are {classes} classes")
