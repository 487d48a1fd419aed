"""Charts of pages: where marks and ticks go."""

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoprune.foundation.charts import roof
from autoprune.foundation.figure import Chart, Series, drawing, ticks

values = st.floats(-1e6, 1e6).map(lambda value: round(value, 3))
points = st.lists(st.tuples(values, values), min_size=1, max_size=20)


@given(points, st.sampled_from(["dots", "steps", "line"]))
def test_every_mark_and_tick_is_inside_the_picture(found, look):
    drawn = drawing(Chart("name", "x", "y", [Series("a", sorted(found), look)]))
    for mark in drawn.marks:
        for letter, *numbers in re.findall(r"([MLHV])([-\d.]+)(?: ([-\d.]+))?", mark.path):
            x = float(numbers[0]) if letter != "V" else None
            y = float(numbers[1] if letter in "ML" else numbers[0]) if letter != "H" else None
            assert x is None or drawn.left <= x <= drawn.right
            assert y is None or drawn.top - 0.1 <= y <= drawn.bottom + 0.1
    assert all(drawn.top - 0.1 <= tick.at <= drawn.bottom + 0.1 for tick in drawn.y_ticks)
    assert all(drawn.left <= tick.at <= drawn.right for tick in drawn.x_ticks)


@given(values, st.floats(1e-3, 1e6))
def test_ticks_are_few_even_and_between_the_ends(low, width):
    found = ticks(low, low + width)
    assert 1 <= len(found) <= 7
    assert all(low - 1e-6 * width <= at <= low + width * (1 + 1e-6) for at in found)
    steps = {round((b - a) / width, 6) for a, b in pairwise(found)}
    assert len(steps) <= 1


def test_what_is_outside_is_an_arrow_at_the_edge():
    series = [Series("plan", [(1, 0.2), (2, 0.3), (3, 50.0)], "dots")]
    low = Series("net", [(2, -9.0)], "dots", 1, [-10.0], [-8.0], ["net: far below"])
    drawn = drawing(Chart("name", "x", "y", [*series, low], roof=0.3, floor=0.0))
    looks = [mark.look for mark in drawn.marks]
    assert looks == ["dot c0", "arrow c0", "arrow c1"]
    assert drawn.marks[0].path.count("M") == 2
    assert [label.text for label in drawn.labels] == ["net: far below"]


def test_a_falling_axis_has_its_marks_from_left_to_right():
    marks = (100.0, 64.0, 41.0)
    drawn = drawing(Chart("name", "x", "y", [Series("a", [(m, 1.0) for m in marks])], marks=marks))
    places = [tick.at for tick in drawn.x_ticks]
    assert places == sorted(places) and [tick.text for tick in drawn.x_ticks] == ["100", "64", "41"]


def test_a_roof_leaves_out_outliers_alone():
    assert roof([0.1, 0.2, 0.3, 0.4, 9.0]) == 0.4
    assert roof([0.1, 0.2, 0.3, 0.4, 0.5]) == float("inf")
    assert roof([1.0, 90.0]) == float("inf")
    assert roof([0.5] * 10) == float("inf")


@pytest.mark.parametrize("value", [0.0, -3.0, 1e-9])
def test_one_value_is_in_the_middle(value):
    drawn = drawing(Chart("name", "x", "y", [Series("a", [(value, value)], "dots")]))
    assert drawn.y_ticks and drawn.x_ticks
