"""Digits, the embedded data."""

import subprocess
import sys

import torch

from autoprune.data import load_data


def test_digits():
    data = load_data("digits", 0)
    assert {name: len(split) for name, split in data.splits.items()} == {
        "train": 1008,
        "search": 215,
        "validation": 215,
        "test": 359,
    }
    assert data.classes == 10 and data.image_shape == (1, 8, 8)
    assert data.example_inputs.shape == (2, 1, 8, 8)
    assert data.fingerprint == load_data("digits", 0).fingerprint
    assert data.fingerprint != load_data("digits", 1).fingerprint
    assert torch.equal(data.test.content[0], load_data("digits", 1).test.content[0])
    assert len(data.calibration(100, seed=3)) == 100


def test_scikit_learn_is_imported_for_the_digits_only():
    code = (
        "import sys; from autoprune.data import load_data;"
        "import autoprune.pipeline.search; sys.exit('sklearn' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
