"""Normalization of images."""

import pytest
import torch

from autoprune.data.normalization import image_form


def test_computed_form_whitens():
    images = torch.randint(256, (50, 2, 6, 6), dtype=torch.uint8)
    images[:, 1] //= 8
    form = image_form("mine", images)
    white = form.normalize(images).double()
    torch.testing.assert_close(white.mean((0, 2, 3)), torch.zeros(2).double(), atol=1e-6, rtol=0)
    torch.testing.assert_close(
        white.std((0, 2, 3), correction=0), torch.ones(2).double(), atol=1e-6, rtol=0
    )


@pytest.mark.parametrize("value", [0, 7, 99, 255])
def test_a_constant_channel_stays_small(value):
    images = torch.full((4, 1, 3, 3), value, dtype=torch.uint8)
    assert image_form("mine", images).normalize(images).abs().max() < 1e-6
