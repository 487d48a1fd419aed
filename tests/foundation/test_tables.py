"""Parts of tables."""

import pytest

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
