"""Lines of text for OCR-Net, rendered with the fonts that matplotlib brings."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autoprune.data.cache import Content, cached
from autoprune.data.normalization import image_form
from autoprune.data.splits import Data
from autoprune.data.splitting import make_splits
from autoprune.foundation.files import file_digest

if TYPE_CHECKING:
    from PIL import ImageFont

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
"""The character at index i has class i + 1; class 0 is CTC's blank."""

HEIGHT, WIDTH = 32, 128
SHORTEST, LONGEST = 3, 7
SIZES = (18, 23)
FONTS = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSansMono", "DejaVuSerif")
COUNTS = {"train": 24_000, "test": 2_000}
NOISE = 12.0
"""Standard deviation of the noise, of 255 levels."""

SEED = 20_170_717
"""Fixed, since a user's seed must not move any line into the test split."""

VERSION = 1


def lines(seed: int, counts: Mapping[str, int] = COUNTS) -> Data:
    """Render the lines: uint8 [N, 1, 32, 128] and texts int64 [N, 7], padded with zeros.

    Each holds 3 to 7 characters drawn at random, in one of four faces of DejaVu, at one of six
    sizes and anywhere, dark on light or light on dark, with noise. ``counts``: lines in each part.
    """
    counts = dict(counts)
    tensors, _ = cached(f"ocr-lines-{_key(counts)}", lambda: _render(counts))
    parts = {part: (tensors[f"{part}.images"], tensors[f"{part}.texts"]) for part in counts}
    form = image_form("ocr-lines", parts["train"][0])
    return make_splits("ocr-lines", parts, seed, form=form, classes=len(ALPHABET) + 1)


def _key(counts: Mapping[str, int]) -> str:
    """Return the hash that identifies a rendering: settings, Pillow's version, fonts."""
    from PIL import __version__

    facts = [VERSION, __version__, SHORTEST, LONGEST, SIZES, counts, NOISE, SEED]
    facts += [file_digest(_font(name)) for name in FONTS]
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]


def _font(name: str) -> Path:
    import matplotlib

    return Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf"


def _render(counts: Mapping[str, int]) -> Content:
    from PIL import ImageFont

    sizes = range(SIZES[0], SIZES[1] + 1)
    faces = [
        ImageFont.truetype(str(_font(name)), size, layout_engine=ImageFont.Layout.BASIC)
        for name in FONTS
        for size in sizes
    ]
    tensors: dict[str, Tensor] = {}
    for number, (part, count) in enumerate(counts.items()):
        random = np.random.default_rng([SEED, number])
        drawn = [_line(random, faces) for _ in range(count)]
        images, texts = (np.stack(part) for part in zip(*drawn, strict=True))
        tensors[f"{part}.images"] = torch.from_numpy(images)[:, None]
        tensors[f"{part}.texts"] = torch.from_numpy(texts)
    return tensors, {}


def _line(
    random: np.random.Generator, faces: list[ImageFont.FreeTypeFont]
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Draw one line: its image [32, 128] and its classes [7]."""
    from PIL import Image, ImageDraw

    length = int(random.integers(SHORTEST, LONGEST + 1))
    classes = np.zeros(LONGEST, np.int64)
    classes[:length] = random.integers(1, len(ALPHABET) + 1, length)
    text = "".join(ALPHABET[label - 1] for label in classes[:length])
    face = faces[int(random.integers(len(faces)))]
    left, top, right, bottom = face.getbbox(text)
    x = int(random.integers(0, max(WIDTH - int(right - left), 0) + 1)) - left
    y = int(random.integers(0, max(HEIGHT - int(bottom - top), 0) + 1)) - top
    picture = Image.new("L", (WIDTH, HEIGHT), 0)
    ImageDraw.Draw(picture).text((x, y), text, fill=255, font=face)
    ink = np.asarray(picture, np.float64) / 255
    low, high = random.uniform(0, 80), random.uniform(160, 255)
    paper, pen = (high, low) if random.random() < 0.5 else (low, high)
    levels = paper + (pen - paper) * ink + random.normal(0, NOISE, ink.shape)
    return levels.clip(0, 255).astype(np.uint8), classes
