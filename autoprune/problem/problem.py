"""What every searcher takes (the problem) and spends through (the ledger)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autoprune.cost.budget import BoundBudget
from autoprune.cost.polynomial import CostModel
from autoprune.errors import UsageError
from autoprune.structure.plan import Plan
from autoprune.structure.table import Slice, Structure

if TYPE_CHECKING:
    from autoprune.ranking import Ranking

FAILED_LOSS: Final = 1e6
"""Loss of a failed evaluation: finite, so that it can be journaled, and worse than real ones."""

STATISTICS: Final = ("norm_variation", "norm_low", "norm_top_half")
"""What ``weight_statistics`` says of a group, in this order."""


@dataclass(frozen=True)
class Evaluation:
    """One plan scored on the search split: ``score`` in [0, 1], higher better, and the mean loss.

    ``failed``: the score or the loss was NaN or infinite; both then hold finite stand-ins.
    ``doubt``: the standard error of the loss of a plan that was given up before it had seen all
    samples, because it fell behind the best so far; 0 for all others.
    """

    score: float
    loss: float
    seconds: float = 0.0
    failed: bool = False
    doubt: float = 0.0

    @property
    def key(self) -> tuple[float, float]:
        """Sorts evaluations from worst to best: by score, ties by loss."""
        return (self.score, -self.loss)

    def finite(self) -> Evaluation:
        """Return self, or the failed evaluation if a number of it is not finite."""
        if all(map(math.isfinite, (self.score, self.loss, self.doubt))):
            return self
        return Evaluation(0.0, FAILED_LOSS, self.seconds, failed=True)


@dataclass(frozen=True)
class PruningProblem:
    """All that a searcher may know: groups, cost, budget, error curves and a way to score plans.

    ``statistics`` holds ``weight_statistics`` of the model, or nothing. ``spread``, if there is
    one, scores several plans at once, in their order, and may give up those that fall behind a
    plan it is told of; else it gives what ``evaluate`` gives.
    """

    structure: Structure
    cost: CostModel
    budget: BoundBudget
    ranking: Ranking
    evaluate: Callable[[Plan], Evaluation]
    statistics: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    spread: Callable[[Sequence[Plan], Plan | None], Iterable[Evaluation]] | None = None

    def evaluate_all(self, plans: Sequence[Plan], best: Plan | None = None) -> Iterator[Evaluation]:
        """Score plans, in their order; several at a time and against ``best`` if ``spread`` can."""
        return iter(self.spread(plans, best)) if self.spread else map(self.evaluate, plans)


class OutOfEvaluations(Exception):
    """The ledger's limit is reached; a searcher ends its search on it."""


@dataclass(frozen=True)
class Record:
    """The ``number``-th evaluation (from 1). ``recalled``: it was known, not computed again."""

    number: int
    plan: Plan
    evaluation: Evaluation
    recalled: bool = False


class Ledger:
    """Counts, caches and remembers the evaluations of one search.

    A plan seen before in this search is free. A plan in ``known`` (an earlier run's journal) is not
    computed again but counts, so that a resumed search takes the same course as an unbroken one.
    ``on_evaluation`` is called with the Record of every evaluation that counts.
    """

    def __init__(
        self,
        problem: PruningProblem,
        limit: int,
        on_evaluation: Callable[[Record], None] | None = None,
        known: Mapping[Plan, Evaluation] | None = None,
    ) -> None:
        if limit < 1:
            raise UsageError(f"a search needs at least 1 evaluation, not {limit}")
        self.problem = problem
        self.limit = limit
        self.history: list[Record] = []
        self._on_evaluation = on_evaluation
        self._known = dict(known or {})
        self._cache: dict[Plan, Evaluation] = {}

    @property
    def count(self) -> int:
        """Evaluations spent."""
        return len(self.history)

    @property
    def left(self) -> int:
        """Evaluations that may still be spent."""
        return self.limit - self.count

    def __contains__(self, plan: Plan) -> bool:
        """Whether evaluating ``plan`` is free."""
        return plan in self._cache

    def evaluate(self, plan: Mapping[str, int]) -> Evaluation:
        """Score a plan, from the cache if it was seen before; see ``evaluate_all``."""
        return self.evaluate_all([plan])[0]

    def evaluate_all(self, plans: Iterable[Mapping[str, int]]) -> list[Evaluation]:
        """Score plans, from the cache what was seen before; new ones count in their order.

        They race against the best so far: those of one call not against each other, so that it
        does not matter how many are scored at a time.
        Raises OutOfEvaluations when the limit is reached before the last, and ValueError for a plan
        over the budget: nothing that a searcher proposes may ever exceed it.
        """
        checked = [self._checked(plan) for plan in plans]
        new = [plan for plan in dict.fromkeys(checked) if plan not in self._cache]
        allowed = new[: self.left]
        unknown = [plan for plan in allowed if plan not in self._known]
        computed = self.problem.evaluate_all(unknown, self.leader)
        for plan in allowed:
            recalled = plan in self._known
            evaluation = self._known[plan] if recalled else next(computed)
            self._cache[plan] = evaluation.finite()
            self.history.append(Record(self.count + 1, plan, self._cache[plan], recalled))
            if self._on_evaluation:
                self._on_evaluation(self.history[-1])
        if len(new) > len(allowed):
            raise OutOfEvaluations
        return [self._cache[plan] for plan in checked]

    def _checked(self, plan: Mapping[str, int]) -> Plan:
        cost = self.problem.cost
        plan = cost.plan(cost.counts(plan))  # one order of groups, one hash
        plan.check(self.problem.structure)
        if not self.problem.budget.met(plan):
            raise ValueError(f"plan {plan.key} exceeds the budget {self.problem.budget.budget}")
        return plan

    @property
    def leader(self) -> Plan | None:
        """The plan of least loss among those that saw all samples; the first of equals."""
        found = (r for r in self.history if not (r.evaluation.failed or r.evaluation.doubt))
        best = min(found, key=lambda record: record.evaluation.loss, default=None)
        return best.plan if best else None

    @property
    def best(self) -> Record:
        """The best evaluation: by score, then by lower loss, then the first.

        Raises UsageError if nothing was evaluated.
        """
        if not self.history:
            raise UsageError("nothing was evaluated, so there is no best plan")
        return max(self.history, key=lambda record: record.evaluation.key)


def weight_statistics(
    structure: Structure, tensors: Mapping[str, Tensor]
) -> dict[str, NDArray[np.float64]]:
    """Describe how unequal the units of each group are, by the norms of their producing weights.

    ``tensors``: parameters by name, such as a state dict. Returns for each group [3], all in
    [0, 1], of the norms scaled to mean 1: std / (1 + std), the 10 % quantile (at most 1), and the
    share of the squares that the larger half of the units holds. Zeros for groups without weights.
    """
    found = {}
    for group in structure.groups:
        producers = [item for item in structure.slices[group.name] if item.role == "out"]
        weights = [item for item in producers if tensors[item.tensor].ndim > 1]
        norms = sum((_unit_squares(item, tensors) for item in weights), torch.zeros(group.size))
        found[group.name] = _spread(norms.double().sqrt().numpy())
    return found


def error_statistics(
    errors: Mapping[str, NDArray[np.float64]],
) -> dict[str, NDArray[np.float64]]:
    """Describe how unequal the units of each group are, as :func:`weight_statistics` does.

    For units that have no weights of their own, by what each adds to an error that sums squares.
    ``errors``: by number of units kept, [units + 1] for each group.
    """
    return {name: _spread(np.sqrt(np.abs(np.diff(curve)))) for name, curve in errors.items()}


def _unit_squares(item: Slice, tensors: Mapping[str, Tensor]) -> Tensor:
    """Sum of squares of the weights of each unit, [units]."""
    weight = tensors[item.tensor].detach().float().cpu().movedim(item.dim, 0)
    squares = weight[item.index].square()
    return squares.reshape(len(item.index), -1).sum(dim=1)


def _spread(norms: NDArray[np.float64]) -> NDArray[np.float64]:
    total = norms.sum()
    if not (math.isfinite(total) and total > 0):
        return np.zeros(len(STATISTICS))
    norms = np.sort(norms / total * len(norms))
    squares = norms**2
    return np.array(
        [
            norms.std() / (1 + norms.std()),
            min(1.0, float(np.quantile(norms, 0.1))),
            squares[len(norms) // 2 :].sum() / squares.sum(),
        ]
    )
