"""Statistics of standings against tables and hand counts."""

import math

import pytest

from autoprune.commands.suite.leaderboard import caveat, short_caveat
from autoprune.commands.suite.result import Entry, Standing, falls
from autoprune.commands.suite.standings import gaps, holm, ranks, student_p, student_quantile
from autoprune.commands.suite.surrogate import Quality


@pytest.mark.parametrize(
    ("t", "freedom", "p"),
    [(12.706, 1, 0.05), (2.776, 4, 0.05), (4.604, 4, 0.01), (2.228, 10, 0.05), (0.0, 3, 1.0)],
)
def test_student(t, freedom, p):
    assert student_p(t, freedom) == pytest.approx(p, rel=2e-3)
    assert student_p(-t, freedom) == student_p(t, freedom)
    if t:
        assert student_quantile(p, freedom) == pytest.approx(t, rel=2e-3)


def test_holm_by_hand():
    found = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})
    assert found == pytest.approx({"d": 0.02, "a": 0.03, "c": 0.06, "b": 0.06})


def test_one_of_many_small_differences_is_not_told_apart_because_there_are_many():
    best = [1.0, 1.1, 1.2, 1.3, 1.4]
    close = [1.13, 1.21, 1.36, 1.41, 1.62]
    alone = gaps({"best": best, "close": close})
    assert alone["close"].apart and alone["best"].mean == 0
    crowd = {f"copy{n}": [x + 0.5 * ((n + i) % 3) for i, x in enumerate(best)] for n in range(15)}
    many = gaps({"best": best, "close": close, **crowd})
    assert many["close"].mean == alone["close"].mean
    assert many["close"].margin > alone["close"].margin and many["close"].p > alone["close"].p


def test_differences_are_paired_and_one_seed_leaves_them_open():
    paired = gaps({"a": [1.0, 5.0, 9.0], "b": [1.1, 5.2, 9.1]})["b"]
    assert paired.mean == pytest.approx(0.4 / 3) and paired.margin < 0.3
    alone = gaps({"a": [1.0], "b": [2.0]})["b"]
    assert math.isinf(alone.margin) and not alone.apart
    same = gaps({"a": [1.0, 1.0], "b": [1.0, 1.0]})["b"]
    assert not same.apart and same.margin == 0


def test_equal_values_share_their_rank():
    assert ranks({"a": 2.0, "b": 1.0, "c": 2.0, "d": 3.0}) == {"a": 2.5, "b": 1, "c": 2.5, "d": 4}


def test_curves_fall_and_levels_are_reached_where_they_are():
    curve = falls([3.0, 3.5, 2.0, 2.0, 1.05])
    assert curve == ((1, 3.0), (3, 2.0), (5, 1.05))
    slow = falls([3.0, 3.0])
    standing = Standing(
        "b", 1.0, 2.0, {"a": Entry((1.05, 1.05), (curve, curve)), "z": Entry((3.0,), (slow,))}
    )
    assert standing.regret(1.0) == 0 and standing.regret(2.0) == 1
    assert standing.reached("a") == 5 and standing.reached("z") is None
    assert [at for at, _ in standing.regrets("a")] == [1, 3, 5]
    assert standing.regrets("a")[1][1] == 1.0


@pytest.mark.parametrize(("top", "low"), [(0.94, True), (0.96, False)])
def test_a_table_says_whether_its_guesses_are_certain(top, low):
    quality = Quality(100, 0.99, top, 0.01, 0.002, 0.01).to_json()
    standing = Standing("b", 1.0, 2.0, {}, quality)
    assert ("below 0.95" in caveat(quality)) == low
    assert ("below 0.95" in short_caveat(standing)) == low
    assert "100 plans never fitted" in caveat(quality)
    assert short_caveat(Standing("b", 1.0, 2.0, {})) == "no answer is a guess"
