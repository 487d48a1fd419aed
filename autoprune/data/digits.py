"""Digits, the embedded default data: scikit-learn's copy of the UCI digits, 1,797 images of 8x8."""

from __future__ import annotations

import torch

from autoprune.data.normalization import image_form
from autoprune.data.splits import Data
from autoprune.data.splitting import make_splits

HELD_OUT = 430
"""Rows for search and validation: 1,008 are left to train with and 359 to test on."""


def digits(seed: int) -> Data:
    """Load the digits (Alpaydin and Kaynak 1998): uint8 [N, 1, 8, 8], 0 to 16, 10 classes."""
    from sklearn.datasets import load_digits  # a second of imports, for this data only

    source = load_digits()
    images = torch.from_numpy(source.images.astype("uint8"))[:, None]
    labels = torch.from_numpy(source.target.astype("int64"))
    return make_splits(
        "digits",
        {"train": (images, labels)},
        seed,
        form=image_form("digits", images),
        classes=10,
        held_out=HELD_OUT,
    )
