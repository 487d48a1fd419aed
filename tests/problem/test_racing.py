"""Racing: the subsample and its estimates, and when a plan is given up."""

import math

import numpy as np
import pytest
import torch

from autoprune.problem.evaluation import Evaluation
from autoprune.problem.racing import RacingConfig, Subsample, inclusion

SAMPLES = 4000


def losses(seed=0, samples=SAMPLES):
    """Losses and scores of a classifier: most samples easy, some hard; [2, samples]."""
    rng = np.random.default_rng(seed)
    found = rng.exponential(1, samples) ** 4
    return torch.from_numpy(np.stack((found, found < 0.7)).astype(np.float64))


def changed(dense, by, seed):
    """What another plan does: harder samples change more, all of them by ``by`` on average."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(dense.shape[1], generator=generator, dtype=torch.float64)
    worse = dense[0] + 0.3 * dense[0].sqrt() * noise + by
    return torch.stack((worse, (worse < 0.7).double()))


@pytest.mark.parametrize("count", [1, 40, 99, 100])
def test_chances_are_proportional_up_to_one_and_sum_to_the_number_drawn(count):
    chances = torch.rand(100, dtype=torch.float64) ** 6 + 1e-3
    found = inclusion(chances, count)
    assert found.sum() == pytest.approx(count)
    assert found.max() <= 1
    shares = (found / chances)[found < 1].tolist()
    assert shares == pytest.approx([max(shares, default=0)] * len(shares))
    assert all(found[chances > chances[found < 1].max()] == 1) if shares else count == 100


def test_small_splits_and_networks_that_fell_apart_are_scored_whole():
    assert Subsample.draw(losses(samples=RacingConfig().least), RacingConfig()) is None
    broken = losses()
    broken[0, 7] = math.nan
    assert Subsample.draw(broken, RacingConfig()) is None
    assert Subsample.draw(torch.zeros(2, SAMPLES, dtype=torch.float64), RacingConfig()) is None


def test_hard_samples_come_first_each_once_and_the_same_every_time():
    dense = losses()
    subsample, again = Subsample.draw(dense, RacingConfig()), Subsample.draw(dense, RacingConfig())
    assert subsample.order.equal(again.order)
    assert len(subsample.order.unique()) == len(subsample.order) == SAMPLES // 2
    assert subsample.dense[:, : len(subsample.order)].equal(dense[:, subsample.order])
    assert dense[0, subsample.order[:500]].mean() > 1.5 * dense[0].mean()
    assert not subsample.order.equal(Subsample.draw(dense, RacingConfig(), seed=1).order)


@pytest.mark.parametrize("part", [400, 800, 2000])
def test_the_first_samples_stand_for_all_better_than_as_many_at_random(part):
    dense = losses()
    plan = changed(dense, 0.02, 1)
    drawn, plain = [], []
    for seed in range(60):
        subsample = Subsample.draw(dense, RacingConfig(), seed)
        drawn.append(subsample.estimate(plan[:, subsample.order[:part]]))
        rows = torch.randperm(SAMPLES, generator=torch.Generator().manual_seed(seed))[:part]
        plain.append(dense.mean(1) + (plan - dense)[:, rows].mean(1))
    apart = torch.stack(drawn) - plan.mean(1)
    bound = 4 * apart.std(0) / math.sqrt(len(drawn))
    assert (apart.mean(0).abs() <= bound + 1e-3).all()
    assert (
        apart[:, 0].square().mean()
        < 0.8 * (torch.stack(plain)[:, 0] - plan.mean(1)[0]).square().mean()
    )


def test_plans_that_ran_on_all_drawn_samples_are_compared_on_these_alone():
    dense = losses()
    subsample = Subsample.draw(dense, RacingConfig())
    one, other = (changed(dense, 0, seed)[:, subsample.order] for seed in (1, 2))
    expected = ((one - other) @ subsample._weights(one.shape[1])[0])[0]
    assert (subsample.estimate(one) - subsample.estimate(other))[0] == pytest.approx(
        float(expected)
    )


def lost(by, trials=150):
    """How often a plan that is ``by`` standard errors worse loses at the first stop."""
    dense, count = losses(), 0
    for seed in range(trials):
        subsample = Subsample.draw(dense, RacingConfig(), seed)
        best = changed(dense, 0, 1000 + seed)
        first = subsample.order[: subsample.stops[0]]
        error = subsample._weights(len(first))[0].square().sum().sqrt()  # of noise of deviation 1
        shift = by * 0.4 * float(error)
        plan = changed(dense, 0, 2000 + seed)
        plan[0] += best[0].mean() - plan[0].mean() + shift
        count += subsample.behind(plan[:, first], best[:, subsample.order]) is not None
    return count / trials


def test_an_equally_good_plan_loses_no_more_often_than_stated_and_better_ones_less_often():
    stated = 1 - torch.distributions.Normal(0, 1).cdf(torch.tensor(RacingConfig().behind)).item()
    slack = 3 * math.sqrt(stated * (1 - stated) / 150)
    assert stated == pytest.approx(0.31, abs=0.005)
    assert lost(0) <= stated + slack
    assert lost(-2) <= 0.1
    assert lost(4) >= 0.9


def test_a_plan_that_lost_is_worse_than_the_best_in_both_numbers_and_has_a_standard_error():
    dense = losses()
    subsample = Subsample.draw(dense, RacingConfig())
    best = changed(dense, 0, 1)[:, subsample.order]
    plan = changed(dense, 0.5, 2)[:, subsample.order[: subsample.stops[0]]]
    plan[1] = 1.0  # though every answer is right
    loss, doubt, score = subsample.behind(plan, best)
    known = subsample.estimate(best)
    assert loss > known[0] and score == pytest.approx(float(known[1]))
    assert 0 < doubt < loss - float(known[0])
    assert subsample.behind(best[:, : subsample.stops[0]], best) is None


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_numbers_that_are_not_finite_lose_at_once_and_count_as_failed(bad):
    dense = losses()
    subsample = Subsample.draw(dense, RacingConfig())
    best = dense[:, subsample.order]
    seen = best[:, : subsample.stops[0]].clone()
    seen[0, 3] = bad
    loss, doubt, score = subsample.behind(seen, best)
    assert Evaluation(score, loss, doubt=doubt).finite().failed
