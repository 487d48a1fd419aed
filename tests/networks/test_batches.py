"""Batches prepared once and run many times."""

import pytest
import torch
from torch import nn

from autoprune.data import Split
from autoprune.networks.batches import Batches
from autoprune.networks.execution import Form

SPLIT = Split((torch.randn(10, 3, 4, 4), torch.arange(10)))


@pytest.mark.parametrize("seed", [None, 1])
def test_batches_too_large_to_hold_are_drawn_again_and_the_same(seed):
    held, drawn = (
        Batches(SPLIT, 4, nn.Linear(1, 1), Form(), seed, held=bytes_) for bytes_ in (None, 0)
    )
    assert next(iter(held))[0] is next(iter(held))[0]
    assert next(iter(drawn))[0] is not next(iter(drawn))[0]
    for one, other in zip(held, drawn, strict=True):
        assert torch.equal(one[0], other[0]) and torch.equal(one[1], other[1])
    assert sorted(int(label) for batch in held for label in batch[1]) == list(range(10))


def test_images_take_the_layout_of_the_form():
    batch = next(iter(Batches(SPLIT, 4, nn.Linear(1, 1), Form(channels_last=True))))
    assert batch[0].is_contiguous(memory_format=torch.channels_last)
