import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from autoprune.commands.ticket.studies.iterative import MagnitudePruning
from autoprune.commands.ticket.ticket import Ticket
from autoprune.errors import DamagedError, UsageError
from tests.tickets import layers


@given(layers(), st.floats(0.01, 0.99))
@settings(max_examples=10)
def test_a_ticket_read_back_is_the_one_that_was_written(case, rate):
    weights, masks = case
    with tempfile.TemporaryDirectory() as folder:
        ticket = Ticket(masks, weights, weights, {}, 0, {"rate": rate})
        ticket.save(Path(folder))
        again = Ticket.load(Path(folder))
    assert list(again.masks) == list(masks)
    assert all(torch.equal(again.masks[name], mask) for name, mask in masks.items())
    assert all(torch.equal(again.initial[name], value) for name, value in weights.items())
    assert again.facts == ticket.facts


def test_damaged_and_missing_tickets_are_refused(tmp_path):
    with pytest.raises(UsageError, match="holds no ticket"):
        Ticket.load(tmp_path)
    masks = {"w": torch.ones(3, dtype=torch.bool)}
    Ticket(masks, {"w": torch.ones(3)}, {}, {}).save(tmp_path)
    content = bytearray((tmp_path / "masks.safetensors").read_bytes())
    content[-1] ^= 1
    (tmp_path / "masks.safetensors").write_bytes(content)
    with pytest.raises(DamagedError, match="damaged"):
        Ticket.load(tmp_path)


@pytest.mark.parametrize(
    "weights",
    [
        {"v": torch.ones(3)},
        {"w": torch.ones(4)},
        {"w": torch.ones(3, dtype=torch.int8)},
        {"w": torch.ones(3, dtype=torch.complex64)},
    ],
    ids=["name", "shape", "integers", "complex"],
)
@pytest.mark.parametrize("place", ["initial", "rewound"])
def test_weights_that_do_not_fit_the_masks_are_refused(tmp_path, place, weights):
    masks, sound = {"w": torch.ones(3, dtype=torch.bool)}, {"w": torch.ones(3)}
    parts = {"initial": sound, "rewound": sound, "trained": sound, place: weights}
    Ticket(masks, **parts, rewind=1).save(tmp_path)
    with pytest.raises(DamagedError, match=f"{place} weights of .* do not fit the mask of 'w'"):
        Ticket.load(tmp_path)


def test_trained_weights_that_do_not_fit_are_not_pruned():
    masks = {"w": torch.ones(3, dtype=torch.bool)}
    for weights in ({}, {"w": torch.ones(2)}, {"w": torch.ones(3, dtype=torch.int64)}):
        with pytest.raises(DamagedError, match="trained weights of a ticket do not fit"):
            MagnitudePruning()(weights, masks)
