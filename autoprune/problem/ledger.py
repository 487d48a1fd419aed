"""Ledger of a search: counts, caches and remembers its evaluations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from autoprune.errors import UsageError
from autoprune.foundation.executors import ROUND
from autoprune.problem.evaluation import Evaluation
from autoprune.problem.problem import PruningProblem
from autoprune.structure.plan import Plan


class OutOfEvaluations(Exception):
    """Signal that the ledger's limit is reached, on which a searcher ends."""


@dataclass(frozen=True)
class Record:
    """Record of the ``number``-th evaluation (from 1). ``recalled``: known from an earlier run."""

    number: int
    plan: Plan
    evaluation: Evaluation
    recalled: bool = False


class Ledger:
    """Ledger of the evaluations of one search: their count, limit, cache and history.

    A plan evaluated before in this search is free. A plan in ``known`` (an earlier run's journal)
    is not computed again but counts, so a resumed search proceeds exactly like an unbroken one.
    Should it proceed differently (on another machine, or with other threads), all that is known
    counts from there on, since it was paid for: ``adopted`` is how much that was.
    ``on_evaluation`` is called with the Record of every evaluation that counts. ``round_size``:
    plans that a searcher should propose at a time.
    """

    def __init__(
        self,
        problem: PruningProblem,
        limit: int,
        on_evaluation: Callable[[Record], None] | None = None,
        known: Mapping[Plan, Evaluation] | None = None,
        round_size: int = ROUND,
    ) -> None:
        if limit < 1:
            raise UsageError(f"a search needs at least 1 evaluation, not {limit}")
        self.problem = problem
        self.limit = limit
        self.round_size = round_size
        self.history: list[Record] = []
        self._on_evaluation = on_evaluation
        self._known = dict(known or {})
        self._cache: dict[Plan, Evaluation] = {}
        self._replaying = bool(known)
        self.adopted = 0
        self.stopped = False

    def __repr__(self) -> str:
        """Return how much is spent, and the least loss so far."""
        best = f", least loss {self.best.evaluation.loss:.4g}" if self.best else ""
        return f"Ledger({self.count} of {self.limit} evaluations{best})"

    @property
    def count(self) -> int:
        """Evaluations spent."""
        return len(self.history)

    @property
    def left(self) -> int:
        """Evaluations that may still be spent, none once the search is stopped."""
        return 0 if self.stopped else self.limit - self.count

    def stop(self) -> None:
        """End the search before its limit; plans that are being evaluated are finished."""
        self.stopped = True

    def __contains__(self, plan: Plan) -> bool:
        """Whether evaluating ``plan`` is free."""
        return plan in self._cache

    def evaluate(self, plan: Mapping[str, int]) -> Evaluation:
        """Return a plan's evaluation, from the cache if there; see ``evaluate_all``."""
        return self.evaluate_all([plan])[0]

    def evaluate_all(self, plans: Iterable[Mapping[str, int]]) -> list[Evaluation]:
        """Return the evaluations of plans; those not in the cache are scored and count, in order.

        They race against the best so far but not against each other, so the number of plans per
        call does not matter.
        Raises OutOfEvaluations when the limit is reached before the last plan, and ValueError for a
        plan over the budget, which no searcher may propose.
        """
        checked = [self._checked(plan) for plan in plans]
        self._adopt_if_lost(checked)
        new = [plan for plan in dict.fromkeys(checked) if plan not in self._cache]
        allowed = new[: self.left]
        unknown = [plan for plan in allowed if plan not in self._known]
        best = self.best
        computed = self.problem.scorer.score(unknown, best.plan if best else None)
        for plan in allowed:
            recalled = plan in self._known
            self._note(plan, self._known[plan] if recalled else next(computed), recalled)
        if len(new) > len(allowed):
            raise OutOfEvaluations
        return [self._cache[plan] for plan in checked]

    def _adopt_if_lost(self, plans: Sequence[Plan]) -> None:
        """Let all that is known count once a plan is asked for that is not what came next."""
        new = [plan for plan in dict.fromkeys(plans) if plan not in self._cache]
        if not self._replaying or all(plan in self._known for plan in new):
            return
        rest = [plan for plan in self._known if plan not in self._cache]
        self._replaying = False
        for plan in rest if new[: len(rest)] != rest else ():
            if self.left and self.problem.budget.met(plan):
                self._note(plan, self._known[plan], recalled=True)
                self.adopted += 1

    def _note(self, plan: Plan, evaluation: Evaluation, recalled: bool) -> None:
        self._cache[plan] = evaluation.finite()
        self.history.append(Record(self.count + 1, plan, self._cache[plan], recalled))
        if self._on_evaluation:
            self._on_evaluation(self.history[-1])

    def _checked(self, plan: Mapping[str, int]) -> Plan:
        cost = self.problem.cost
        plan = cost.plan(cost.counts(plan))  # one order of groups, one hash
        plan.check(self.problem.structure)
        if not self.problem.budget.met(plan):
            raise ValueError(f"plan {plan.key} exceeds the budget {self.problem.budget.name}")
        return plan

    @property
    def best(self) -> Record | None:
        """Complete evaluation of least loss, the first of equals; None if there is none yet.

        On a few thousand samples, the loss predicts the accuracy on other samples better than the
        accuracy does, since it also measures the margin of every decision (docs/agent.md).
        """
        complete = (record for record in self.history if record.evaluation.complete)
        return min(complete, key=lambda record: record.evaluation.loss, default=None)
