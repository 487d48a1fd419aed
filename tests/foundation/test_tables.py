"""Parts of tables."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoprune.foundation.tables import count, milliseconds, percent, size


@pytest.mark.parametrize(
    ("value", "shown"),
    [(850, "850"), (999.6, "1.00 k"), (41_230_000, "41.2 M"), (1.5e9, "1.50 G"), (2e12, "2.00 T")],
)
def test_counts_have_three_digits(value, shown):
    assert count(value) == shown


def test_sizes_percentages_and_times():
    assert [size(value) for value in (12, 312_000, 1_090_000)] == ["12 B", "312 kB", "1.09 MB"]
    assert percent(0.81443) == "81.44 %" and percent(0.5, 0) == "50 %"
    assert [milliseconds(value) for value in (0.123, 12.34, 123.4)] == [
        "0.12 ms",
        "12.3 ms",
        "123 ms",
    ]


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
