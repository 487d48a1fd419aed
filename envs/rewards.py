"""Rewards for the plan at the end of a walk, by name; register another with one line in REWARDS."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from autoprune.errors import UsageError
from autoprune.foundation import plugins
from autoprune.foundation.user_code import blamed
from autoprune.problem.evaluation import Evaluation

TIE_BREAK: Final = 0.01
"""Weight of the loss beside the score: orders plans of equal score, hardly any others."""


def _no_error(evaluation: Evaluation) -> float:
    return 0.0


@dataclass(frozen=True)
class Reward:
    """Named function from an evaluation to a reward: finite, higher is better.

    ``error``: function to its standard error, not 0 only for plans that were given up in a race.
    """

    name: str
    value: Callable[[Evaluation], float]
    error: Callable[[Evaluation], float] = _no_error

    def __call__(self, evaluation: Evaluation) -> float:
        """Return the reward."""
        return self.value(evaluation)

    def relative(self, zero: Evaluation, one: Evaluation) -> Reward:
        """Return this reward shifted and scaled: ``zero`` earns 0 and ``one`` earns 1.

        If ``one`` is not better by 0.01, a difference of 0.01 earns 1.
        """
        shift = self(zero)
        scale = max(self(one) - shift, 0.01)
        return Reward(
            self.name,
            lambda evaluation: (self(evaluation) - shift) / scale,
            lambda evaluation: self.error(evaluation) / scale,
        )


def _squash(value: float) -> float:
    return value / (1 + abs(value))


def _loss(evaluation: Evaluation) -> float:
    return -_squash(evaluation.loss)


def _loss_error(evaluation: Evaluation) -> float:
    return evaluation.doubt / (1 + abs(evaluation.loss)) ** 2  # by the slope of the squashing


def _score(evaluation: Evaluation) -> float:
    return evaluation.score - TIE_BREAK * _squash(evaluation.loss)


def _score_error(evaluation: Evaluation) -> float:
    return evaluation.doubt  # the loss's: a score moves by about as much


LOSS: Final = Reward("loss", _loss, _loss_error)
"""Negative mean loss, squashed to (-1, 0]: smoother than the score."""

SCORE: Final = Reward("score", _score, _score_error)
"""Score, with the mean loss as tie-break: in (-0.01, 1]."""

REWARDS: Final[Mapping[str, Reward]] = {reward.name: reward for reward in (LOSS, SCORE)}
"""Rewards that ``--reward`` can name."""


def find_reward(name: str) -> Reward:
    """Return the reward of that name, a plug-in's too; raise UsageError if there is none."""
    if name in REWARDS:
        return REWARDS[name]
    if not plugins.known("rewards", name):
        raise UsageError(f"unknown reward {name!r}", f"choose from {', '.join(REWARDS)}")
    return as_reward(plugins.find("rewards", name), name)


def as_reward(candidate: object, name: str) -> Reward:
    """Return a reward, or a function from an :class:`Evaluation` to a number, as a Reward.

    Raises UsageError for anything else, and where it is called for a value that is not finite.
    """
    if isinstance(candidate, Reward):
        return candidate
    if not callable(candidate):
        raise UsageError(
            f"{type(candidate).__name__} is not a reward: it cannot be called",
            "a reward is a function from an evaluation, with score and loss, to a number",
        )

    def value(evaluation: Evaluation) -> float:
        with blamed(f"reward {name!r} fails"):
            found = float(candidate(evaluation))
            if not math.isfinite(found):
                raise ValueError(f"a reward must be finite, not {found}")
        return found

    return Reward(name, value)
