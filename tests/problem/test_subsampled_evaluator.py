"""Evaluator on a subsample: estimates of the whole split."""

import dataclasses

import pytest

from autoprune.data.classification import Classification, PooledClassification
from autoprune.networks.score import measure
from autoprune.problem.evaluator import Evaluator
from autoprune.problem.racing import RacingConfig
from autoprune.structure.plan import Plan
from tests.problem.plans import plans

TASK = Classification()


def test_half_of_the_samples_estimate_the_whole_split(parts):
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


def test_a_pooled_score_is_that_of_the_whole_split(parts):
    task = PooledClassification(scored_by="macro-f1")
    score = Evaluator(dataclasses.replace(parts, task=task), precision="float32")
    assert not score.races
    for plan in (Plan.dense(parts.structure), *plans(parts.structure, 2)):
        whole_split = dataclasses.replace(parts, racing=RacingConfig(least=10_000))
        accuracy = Evaluator(whole_split, precision="float32")(plan)
        found = score(plan)
        assert found.loss == pytest.approx(accuracy.loss, rel=1e-9)
        assert found.score != pytest.approx(accuracy.score, abs=1e-6) or found.score == 1
    dense = measure(parts.model, parts.search, task).score
    assert score(Plan.dense(parts.structure)).score == pytest.approx(dense)
