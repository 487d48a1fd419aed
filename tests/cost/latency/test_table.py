"""Tables of times: monotone, interpolated, checked."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoprune.cost.latency import TableCost
from autoprune.cost.latency.table import Axis, Table, monotone
from autoprune.errors import DamagedError
from tests.synthetic import staircase, structures


@given(st.integers(0, 999), st.integers(1, 6), st.integers(1, 6))
def test_the_nearest_monotone_table_is_off_by_half_of_the_deepest_fall(seed, rows, columns):
    values = np.random.default_rng(seed).uniform(1, 2, (rows, columns))
    found = monotone(values)
    assert (np.diff(found, axis=0) >= 0).all() and (np.diff(found, axis=1) >= 0).all()
    deepest = max(
        values[i, j] - values[k, m]
        for i in range(rows)
        for j in range(columns)
        for k in range(i, rows)
        for m in range(j, columns)
    )
    assert abs(np.abs(found - values).max() - deepest / 2) < 1e-12
    grown = np.sort(np.sort(values, axis=0), axis=1)
    assert np.allclose(monotone(grown), grown)


@given(structures, st.integers(0, 99), st.data())
def test_a_table_never_falls_and_its_vector_forms_agree(structure, seed, data):
    cost = staircase(structure, seed)
    counts = np.array([data.draw(st.integers(1, group.size)) for group in structure.groups])
    group = data.draw(st.integers(0, len(counts) - 1))
    candidates = np.arange(0, structure.groups[group].size + 1)
    plans = np.tile(counts, (len(candidates), 1))
    plans[:, group] = candidates
    along = cost.along(counts, group, candidates)
    assert (np.diff(along) >= 0).all()
    assert along.tolist() == cost.many(plans).tolist() == [cost.at(row) for row in plans]
    assert TableCost.from_json(cost.to_json()).many(plans).tolist() == along.tolist()


def test_between_knots_a_table_is_linear_and_on_them_exact():
    one = Axis(2, (1, 0), (4, 8)), Axis(0, (0, 3), (6, 12))
    cost = TableCost.of(["a", "b"], np.array([6, 4]), [Table(one, np.array([[10, 30], [50, 90]]))])
    at = {(2, 2): 10, (6, 2): 50, (2, 4): 30, (6, 4): 90, (4, 3): (10 + 50 + 30 + 90) / 4}
    for counts, expected in at.items():
        assert cost.at(np.array(counts)) == expected


def test_equal_tables_are_added_up_and_read_as_whole_networks_say():
    axes = Axis(0, (1,), (2, 4)), Axis(1, (0,), (1,))
    table = Table(axes, np.array([[10.0], [30.0]]))
    cost = TableCost.of(["a"], np.array([5]), [table, table])
    assert len(cost.fixed) == 1
    assert [cost.at(np.array([k])) for k in (1, 2, 3, 4)] == [10, 20, 40, 60]
    whole = cost.calibrated(np.array([[2], [4]]), np.array([50.0, 150.0]))
    assert [whole.at(np.array([k])) for k in (1, 2, 3, 4)] == [25, 50, 100, 150]
    noisy = cost.calibrated(np.array([[2], [4]]), np.array([150.0, 50.0]))
    assert [noisy.at(np.array([k])) for k in (2, 3, 4)] == [100, 100, 100]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("values", [[[0, 5, 4], [0, 0, 0], [0, 0, 0]]]),
        ("times", [[[-1], [0]]]),
        ("knots", [[[0, 4, 4], [0, 1, 2]]]),
        ("sizes", [1, 2]),
        ("sums", [0]),
        ("totals", [1, 2]),
        ("totals", "x"),
        ("fixed", None),
    ],
)
def test_tables_that_make_no_sense_are_refused(key, value):
    axes = Axis(0, (1,), (2, 4)), Axis(1, (0,), (1,))
    cost = TableCost.of(["a"], np.array([4]), [Table(axes, np.array([[10.0], [30.0]]))])
    assert TableCost.from_json(cost.to_json()).dense == 30
    with pytest.raises(DamagedError):
        TableCost.from_json({**cost.to_json(), key: value})
