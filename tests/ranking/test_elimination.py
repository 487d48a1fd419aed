"""Backward elimination against refitting by brute force."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from autoprune.ranking.elimination import Reader, eliminate
from tests.small_nets import residual, spd


@settings(max_examples=25)
@given(st.integers(1, 7), st.integers(1, 3), st.integers(1, 4), st.integers(0, 99))
def test_elimination_is_greedy(units: int, block: int, outputs: int, seed: int) -> None:
    rows, gram = spd(units * block, seed)
    weights = torch.randn(units * block, outputs, dtype=torch.float64)
    removed = eliminate([Reader(torch.linalg.inv(gram), weights.clone(), block)], units)
    alive = list(range(units))
    for unit in removed.tolist():
        errors = {
            candidate: residual(rows, weights, columns(set(alive) - {candidate}, block))
            for candidate in alive
        }
        assert errors[unit] <= min(errors.values()) * (1 + 1e-6)
        alive.remove(unit)


def columns(units: set[int], block: int) -> Tensor:
    places = [unit * block + place for unit in sorted(units) for place in range(block)]
    return torch.tensor(places, dtype=torch.int64)


def test_every_unit_goes_when_several_go_at_once() -> None:
    _, gram = spd(150, 1)
    weights = torch.randn(150, 3, dtype=torch.float64)
    removed = eliminate([Reader(torch.linalg.inv(gram), weights.clone(), 1)], 150)
    assert sorted(removed.tolist()) == list(range(150))


def test_readers_add_up() -> None:
    """The first unit to go is the one whose loss hurts both readers least, each in its measure."""
    (rows, gram), (others, second) = spd(12, 2), spd(12, 3)
    weights = torch.randn(12, 3, dtype=torch.float64)
    readers = [
        Reader(torch.linalg.inv(gram), weights.clone(), 2, energy=5.0),
        Reader(torch.linalg.inv(second), weights.clone(), 2),
    ]
    left = [columns(set(range(6)) - {unit}, 2) for unit in range(6)]
    costs = [residual(rows, weights, kept) / 5 + residual(others, weights, kept) for kept in left]
    assert int(eliminate(readers, 6)[0]) == int(np.argmin(costs))


def test_equal_units_go_by_index() -> None:
    gram = torch.eye(4, dtype=torch.float64)
    removed = eliminate([Reader(gram, torch.ones(4, 1, dtype=torch.float64), 1)], 4)
    assert removed.tolist() == [0, 1, 2, 3]
