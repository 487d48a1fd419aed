import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoprune.foundation.tables import count, size


@given(st.floats(1, 1e15))
def test_counts_keep_three_digits(value):
    number, *unit = count(value).split()
    factor = {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}[unit[0]] if unit else 1
    assert float(number) * factor == pytest.approx(value, rel=0.006)
    assert len(number) <= 7


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.00 kB"), (312_000, "312 kB"), (999_999, "1.00 MB")],
)
def test_sizes(value, shown):
    assert size(value) == shown
