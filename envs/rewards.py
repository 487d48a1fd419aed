"""What the plan at the end of a walk earns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from autoprune.problem.problem import Evaluation

Reward = Callable[[Evaluation], float]

TIE_BREAK: Final = 0.01
"""Weight of the loss beside the score: orders plans of equal score, hardly any others."""


def score(evaluation: Evaluation) -> float:
    """Score, the mean loss as tie-break: in (-0.01, 1]."""
    return evaluation.score - TIE_BREAK * _squash(evaluation.loss)


def loss(evaluation: Evaluation) -> float:
    """Negative mean loss, squashed to (-1, 0]: smoother than the score."""
    return -_squash(evaluation.loss)


def loss_error(evaluation: Evaluation) -> float:
    """Return the standard error of ``loss`` where a plan was given up, by the slope there; or 0."""
    return evaluation.doubt / (1 + abs(evaluation.loss)) ** 2


def relative(mode: Reward, zero: Evaluation, one: Evaluation) -> Reward:
    """Return ``mode`` shifted and scaled so that one evaluation earns 0 and another 1.

    Where the other is not better, one part in a hundred of score or squashed loss earns 1.
    """
    shift = mode(zero)
    scale = max(mode(one) - shift, 0.01)
    return lambda evaluation: (mode(evaluation) - shift) / scale


MODES: Final[Mapping[str, Reward]] = {"score": score, "loss": loss}
"""Terminal rewards by name."""


def _squash(value: float) -> float:
    return value / (1 + abs(value))
