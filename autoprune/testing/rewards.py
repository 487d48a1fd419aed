"""Conformance of rewards: finite for every evaluation, and better for better plans."""

from __future__ import annotations

from collections.abc import Callable

from autoprune.envs.rewards import Reward, as_reward
from autoprune.problem.evaluation import FAILED_LOSS, Evaluation


def check_reward(reward: Reward | Callable[[Evaluation], float]) -> None:
    """Check a reward on evaluations from perfect to failed.

    Raises UsageError if it is no function or not finite, AssertionError if a plan that is better in
    loss and score earns less.
    """
    made = as_reward(reward, "checked")
    found = [
        Evaluation(1.0, 0.0),
        Evaluation(0.9, 0.3),
        Evaluation(0.5, 2.0),
        Evaluation(0.1, 50.0),
        Evaluation(0.0, FAILED_LOSS, failed=True),
    ]
    earned = [made(evaluation) for evaluation in found]
    for better, worse, high, low in zip(found, found[1:], earned, earned[1:], strict=False):
        if high < low:
            raise AssertionError(f"{better} earns {high:g}, {worse} earns {low:g}")
