"""Statistics over seeds."""

from math import inf, sqrt

import pytest
from scipy import stats

from autoprune.foundation.statistics import difference, estimate, wilson


@pytest.mark.parametrize("count", [2, 5, 31])
def test_intervals_are_those_of_student(count):
    values = [0.1 * index**2 for index in range(count)]
    low, high = stats.t.interval(0.95, count - 1, sum(values) / count, stats.sem(values))
    assert estimate(values).mean == pytest.approx((low + high) / 2)
    assert estimate(values).margin == pytest.approx((high - low) / 2, rel=1e-3)


def test_many_seeds_have_the_normal_interval():
    values = [0.0, 1.0] * 50
    assert estimate(values).margin == pytest.approx(1.96 * sqrt(0.25 * 100 / 99) / 10)


def test_one_seed_says_nothing_of_the_spread():
    alone = estimate([0.7])
    assert alone == (0.7, inf) and not alone.positive and not alone.negative
    assert alone.to_json() == {"mean": 0.7, "margin": None}


def test_differences_are_paired():
    better = difference([0.5, 0.7, 0.9], [0.4, 0.61, 0.8])
    assert better.positive and not better.negative
    assert difference([0.4, 0.61, 0.8], [0.5, 0.7, 0.9]).negative


@pytest.mark.parametrize(("share", "number"), [(0.0, 7), (0.5, 1), (0.97, 359), (1.0, 2000)])
def test_intervals_of_shares_are_those_of_wilson(share, number):
    hits = round(share * number)
    known = stats.binomtest(hits, number).proportion_ci(0.95, method="wilson")
    assert wilson(hits / number, number) == pytest.approx((known.low, known.high), abs=1e-5)
    assert wilson(0.5, 0) == (0.0, 1.0)
