"""Rewards: order of evaluations."""

import math

import autoprune.envs  # noqa: F401 - registers the environment
from autoprune.envs.rewards import LOSS, SCORE
from autoprune.problem.evaluation import Evaluation


def test_rewards_put_failures_last_and_order_by_loss_or_by_score_and_then_loss():
    failed = Evaluation(math.nan, 1.0).finite()
    worse, better, sure = Evaluation(0.5, 2.0), Evaluation(0.5, 1.0), Evaluation(0.6, 1.5)
    assert sorted([sure, better, failed, worse], key=SCORE) == [failed, worse, better, sure]
    assert sorted([sure, better, failed, worse], key=LOSS) == [failed, worse, sure, better]
