"""Digits, the embedded default data: scikit-learn's copy of the UCI digits, 1,797 images of 8x8."""

from __future__ import annotations

import gzip
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from autoprune.data.normalization import image_form
from autoprune.data.splits import Data
from autoprune.data.splitting import make_splits

HELD_OUT = 430
"""Rows for search and validation: 1,008 are left to train with and 359 to test on."""


_FILE: Final = "datasets/data/digits.csv.gz"
"""Where scikit-learn keeps them: 64 pixels and a label in a row. To import it takes a second."""


def digits(seed: int) -> Data:
    """Load the digits (Alpaydin and Kaynak 1998): uint8 [N, 1, 8, 8], 0 to 16, 10 classes."""
    images, labels = _read()
    return make_splits(
        "digits",
        {"train": (images, labels)},
        seed,
        form=image_form("digits", images),
        classes=10,
        held_out=HELD_OUT,
    )


def _read() -> tuple[Tensor, Tensor]:
    """Return images and labels, from the file where it lies there, or else by scikit-learn."""
    found = find_spec("sklearn")
    places = found.submodule_search_locations if found else None
    files = [file for place in places or () if (file := Path(place, _FILE)).is_file()]
    if not files:
        from sklearn.datasets import load_digits

        source = load_digits()
        rows = np.column_stack([source.data, source.target])
    else:
        with gzip.open(files[0], "rt", encoding="ascii") as lines:
            rows = np.loadtxt(lines, delimiter=",")
    table = torch.from_numpy(rows.astype("uint8"))
    return table[:, :-1].reshape(-1, 1, 8, 8), table[:, -1].long()
