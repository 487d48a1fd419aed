"""Parser of granularities."""

import pytest

from autoprune.errors import UsageError
from autoprune.problem.granularity.parse import Granularity


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("0:4", "keeps nothing"),
        ("4:4", "removes nothing"),
        ("5:4", "is no pattern"),
        ("0:0", "keeps nothing"),
        ("2:", "unknown granularity"),
        ("2:4:8", "unknown granularity"),
        ("-2:4", "unknown granularity"),
        ("2:4000", "unknown granularity"),
        ("filter", "unknown granularity"),
        ("", "unknown granularity"),
        ("Channel", "unknown granularity"),
    ],
)
def test_an_unknown_granularity_is_refused_in_one_line(text, reason):
    with pytest.raises(UsageError, match=reason) as error:
        Granularity.parse(text)
    assert "\n" not in str(error.value.args[0])
    assert error.value.hint
