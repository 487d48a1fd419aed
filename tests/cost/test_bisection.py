import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoprune.cost.bisection import largest_that


@given(st.floats(0.01, 1000), st.floats(0, 1))
def test_the_largest_number_for_which_a_condition_holds_is_found(high, share):
    limit = share * high
    found = largest_that(lambda x: x <= limit, high)
    assert found <= limit and found == pytest.approx(limit, abs=high * 1e-9)


def test_ends_are_kept():
    assert largest_that(lambda _: True, 3.0) == 3.0
    assert largest_that(lambda _: False) == 0.0
