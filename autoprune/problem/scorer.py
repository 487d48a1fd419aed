"""Scorer protocol, and the scorer of a plain function."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from autoprune.problem.evaluation import Evaluation
from autoprune.structure.plan import Plan


class Scorer(Protocol):
    """Scorer of plans: one at a time or in parallel, in this process or others."""

    def score(self, plans: Sequence[Plan], best: Plan | None = None) -> Iterator[Evaluation]:
        """Yield the evaluation of each plan, in their order.

        A plan that falls behind ``best`` may be given up; its evaluation then carries a doubt.
        """


class FunctionScorer:
    """Scorer that calls a function for each plan."""

    def __init__(self, function: Callable[[Plan], Evaluation]) -> None:
        self._function = function

    def score(self, plans: Sequence[Plan], best: Plan | None = None) -> Iterator[Evaluation]:
        """Yield the function's evaluation of each plan; see :class:`Scorer`."""
        return map(self._function, plans)
