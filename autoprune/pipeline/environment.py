"""Maker of ``autoprune/LayerPruning-v0``: of a problem of one's own, or of a default one."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from autoprune.envs.layer_pruning import LayerPruning
from autoprune.pipeline.posing import Problem, pose
from autoprune.problem.evaluation import Evaluation
from autoprune.problem.problem import PruningProblem
from autoprune.structure.plan import Plan


def layer_pruning(
    problem: PruningProblem | None = None,
    evaluate: Callable[[Plan], Evaluation] | None = None,
    reward: str | Callable[[Evaluation], float] = "loss",
    shaping: bool = False,
) -> LayerPruning:
    """Make the environment, by default of a small network on digits at half of its FLOPs."""
    return LayerPruning(problem or digits(), evaluate, reward, shaping)


@cache
def digits() -> Problem:
    """Pose the default problem; its network is trained on the spot, once in a process."""
    return pose("digits-resnet", "digits", "0.5flops", progress=False)
