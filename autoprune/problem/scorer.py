"""Protocol for scoring plans, and the scorer that a plain function makes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from autoprune.problem.evaluation import Evaluation
from autoprune.structure.plan import Plan


class Scorer(Protocol):
    """Scores plans: one at a time or side by side, here or in other processes."""

    def score(self, plans: Sequence[Plan], best: Plan | None = None) -> Iterator[Evaluation]:
        """Yield the evaluation of each plan, in their order.

        A plan that falls behind ``best`` may be given up; its evaluation then carries a doubt.
        """


class FunctionScorer:
    """Scores each plan with a function, completely."""

    def __init__(self, function: Callable[[Plan], Evaluation]) -> None:
        self._function = function

    def score(self, plans: Sequence[Plan], best: Plan | None = None) -> Iterator[Evaluation]:
        """Yield what the function says of each plan; see :class:`Scorer`."""
        return map(self._function, plans)
