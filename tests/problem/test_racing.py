import dataclasses
import math

import numpy as np
import pytest
import torch

from autoprune.cost.budget import Budget
from autoprune.cost.model import CostModel
from autoprune.data import Split
from autoprune.data.task import Classification
from autoprune.networks import zoo
from autoprune.networks.score import measure
from autoprune.pipeline.explore import entry, recall
from autoprune.problem.evaluation import Evaluation
from autoprune.problem.evaluator import Evaluator, EvaluatorParts
from autoprune.problem.ledger import Ledger, Record
from autoprune.problem.pool import ScorerPool
from autoprune.problem.problem import PruningProblem
from autoprune.problem.racing import RacingConfig, Subsample, inclusion
from autoprune.ranking.rank import rank
from autoprune.structure.analyze import analyze
from autoprune.structure.plan import Plan
from tests.landscape import chain_landscape

TASK = Classification()
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


# Drawing.


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


def test_who_sees_all_drawn_samples_is_compared_on_them_alone():
    dense = losses()
    subsample = Subsample.draw(dense, RacingConfig())
    one, other = (changed(dense, 0, seed)[:, subsample.order] for seed in (1, 2))
    expected = ((one - other) @ subsample._weights(one.shape[1])[0])[0]
    assert (subsample.estimate(one) - subsample.estimate(other))[0] == pytest.approx(
        float(expected)
    )


# Racing.


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


def test_a_plan_as_good_as_the_best_loses_no_oftener_than_is_said_and_better_ones_seldomer():
    stated = 1 - torch.distributions.Normal(0, 1).cdf(torch.tensor(RacingConfig().behind)).item()
    slack = 3 * math.sqrt(stated * (1 - stated) / 150)
    assert stated == pytest.approx(0.31, abs=0.005)
    assert lost(0) <= stated + slack
    assert lost(-2) <= 0.1
    assert lost(4) >= 0.9


def test_what_lost_is_worse_than_the_best_in_both_numbers_and_says_how_sure_that_is():
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


# In the evaluator, in processes, in runs.


@pytest.fixture(scope="module")
def parts():
    """An evaluator's parts: a network that tells bright from dark, and 2,200 images."""
    torch.manual_seed(0)
    model = zoo.build("digits-resnet").eval()
    x = torch.randn(2200, 1, 8, 8) + torch.linspace(-1, 1, 2200).view(-1, 1, 1, 1)
    with torch.no_grad():
        y = model(x).argmax(1)
    structure = analyze(model, x[:2])
    calibration = Split((x[::9], y[::9]))
    ranking = rank(model, structure, "regression", task=TASK, calibration=calibration)
    return EvaluatorParts(model, structure, ranking, TASK, Split((x, y)), calibration)


def plans(structure, number):
    generator = torch.Generator().manual_seed(0)
    share = torch.rand(number, len(structure.groups), generator=generator) * 0.6 + 0.4
    return [
        Plan.of(
            {
                group.name: max(1, round(group.size * float(part)))
                for group, part in zip(structure.groups, row, strict=True)
            }
        )
        for row in share
    ]


def test_half_of_the_samples_say_what_all_say(parts):
    score = Evaluator(parts, precision="float32")
    assert score.races
    dense = score(Plan.dense(parts.structure))
    whole = measure(parts.model, parts.search, TASK)
    assert dense.score == pytest.approx(whole.score)
    assert dense.loss == pytest.approx(whole.loss, rel=2e-3)  # statistics of several batches
    found = [score(plan) for plan in plans(parts.structure, 5)]
    whole_split = dataclasses.replace(parts, racing=RacingConfig(least=10_000))
    slow = Evaluator(whole_split, precision="float32")
    assert not slow.races
    for item, plan in zip(found, plans(parts.structure, 5), strict=True):
        exact = slow(plan)
        assert item.loss == pytest.approx(exact.loss, rel=0.03)
        assert item.score == pytest.approx(exact.score, abs=0.03)


def test_a_task_without_losses_of_samples_is_scored_whole(parts):
    class Plain:
        name, inputs, loss, score = "plain", TASK.inputs, TASK.loss, TASK.score

    score = Evaluator(dataclasses.replace(parts, task=Plain()), precision="float32")
    assert not score.races
    assert score(Plan.dense(parts.structure)).score == pytest.approx(1)


def problem_in(parts, workers):
    structure, ranking = parts.structure, parts.ranking
    pool = ScorerPool(Evaluator(parts), workers, 100)
    cost = CostModel(structure)
    budget = Budget.parse("1.0flops").bind(cost)
    return PruningProblem(structure, cost, budget, ranking, pool), pool


def searched(parts, workers, known=None, batch=4):
    """Evaluate plans in batches; return the history, seconds left out, and who ran."""
    problem, pool = problem_in(parts, workers)
    ledger = Ledger(problem, 16, known=known)
    every = plans(parts.structure, 16)
    try:
        for start in range(0, 16, batch):
            ledger.evaluate_all(every[start : start + batch])
    finally:
        pool.close()
    return [
        (record.plan, dataclasses.replace(record.evaluation, seconds=0))
        for record in ledger.history
    ]


def test_races_do_not_depend_on_workers_or_on_a_pause(parts):
    alone = searched(parts, 1)
    doubtful = [found for _, found in alone if found.doubt]
    assert len(doubtful) > 4
    assert not any(found.doubt for _, found in alone[:4])  # there was nobody to beat
    assert searched(parts, 2) == alone
    for stopped in (3, 9):
        assert searched(parts, 1, dict(alone[:stopped])) == alone
    best = min(found.loss for _, found in alone if not found.doubt)
    assert all(found.loss > best for found in doubtful)


def test_the_leader_saw_all_samples_and_is_sound():
    problem = chain_landscape(0, groups=3)
    counts = problem.budget.smallest
    some = [problem.cost.plan([counts[0] + i, *counts[1:]]) for i in range(4)]
    told = iter(
        [(0.5, 3.0, 0.0), (0.5, math.nan, 0.0), (0.5, 1.0, 0.1), (0.5, 2.0, 0.0)],
    )
    leaders = []

    class Telling:
        def score(self, asked, best=None):
            leaders.append(best)
            for _ in asked:
                score, loss, doubt = next(told)
                yield Evaluation(score, loss, doubt=doubt)

    ledger = Ledger(dataclasses.replace(problem, scorer=Telling()), 4)
    for plan in some:
        ledger.evaluate(plan)
    assert leaders == [None, some[0], some[0], some[0]]
    assert ledger.best.plan == some[3]


def test_the_journal_keeps_doubt_and_knows_entries_without():
    plan = Plan.of({"a": 2, "b": 3})
    for doubt in (0.0, 0.125):
        evaluation = Evaluation(0.5, 1.25, doubt=doubt)
        kept = entry(Record(1, plan, evaluation))
        assert ("doubt" in kept) == bool(doubt)
        assert recall(kept) == (plan, evaluation)
