"""Orders and error curves."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from autoprune.ranking.ordering import by_importance


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=30))
def test_curves_start_at_one_fall_and_end_at_zero(values: list[float]) -> None:
    order, errors = by_importance(torch.tensor(values, dtype=torch.float64))
    assert sorted(order.tolist()) == list(range(len(values)))
    ranked = [values[unit] for unit in order.tolist()]
    assert ranked == sorted(values, reverse=True)
    assert errors.shape == (len(values) + 1,)
    assert errors[-1] == 0
    assert (np.diff(errors) <= 0).all()
    if sum(values) > 0:
        assert errors[0] == pytest.approx(1)
        assert errors[1] == pytest.approx(1 - ranked[0] / sum(values), abs=1e-9)


def test_ties_go_by_index() -> None:
    assert by_importance(torch.tensor([1.0, 2.0, 1.0, 2.0]))[0].tolist() == [1, 3, 0, 2]
