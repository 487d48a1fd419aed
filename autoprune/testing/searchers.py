"""Conformance of searchers: count, budget, determinism, resumption, random states, failures."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np
import torch

from autoprune.agents.base import Searcher
from autoprune.agents.registry import check_searcher as check_interface
from autoprune.problem.evaluation import Evaluation
from autoprune.problem.ledger import Ledger, OutOfEvaluations, Record
from autoprune.problem.problem import PruningProblem
from autoprune.problem.scorer import FunctionScorer
from autoprune.structure.plan import Plan
from autoprune.testing.toy import toy_problem

Make = Callable[[], Searcher]

EVALUATIONS: Final = 15


def check_searcher(make: Make) -> None:
    """Check the searcher that ``make`` returns, on problems that take no time.

    It must propose plans within the budget only, spend what it is given and no more, give the same
    history under the same seed (also when part of it is known, as in a continued run), leave the
    global random states alone, live with evaluations that fail, and end when it is stopped.
    Raises AssertionError, saying which of these it does not.
    """
    check_interface(make())
    for check in (_budget, _count, _determinism, _resumption, _random_states, _failures, _stop):
        check(make)


def _search(problem: PruningProblem, make: Make, evaluations: int, seed: int = 0) -> Ledger:
    ledger = Ledger(problem, evaluations)
    _run(problem, make, ledger, seed)
    return ledger


def _run(problem: PruningProblem, make: Make, ledger: Ledger, seed: int) -> None:
    try:
        make().search(problem, ledger, seed)
    except OutOfEvaluations:
        pass
    except ValueError as error:
        if "exceeds the budget" in str(error):
            raise AssertionError(f"budget: a plan lies above it: {error}") from None
        raise


def _budget(make: Make) -> None:
    """Budgets on one cost and on two, and widths that are multiples."""
    for budget, align in (("0.5flops", 1), ("0.3params", 1), ("0.6flops,0.5params", 4)):
        problem = toy_problem(1, budget, align)
        for record in _search(problem, make, EVALUATIONS).history:
            _require(problem.budget.met(record.plan), f"budget: {record.plan} lies above {budget}")
            for group in problem.structure.groups:
                count = record.plan[group.name]
                _require(
                    count % align == 0 or count == group.size,
                    f"budget: {count} units of {group.name} are no multiple of {align}",
                )


def _count(make: Make) -> None:
    for evaluations in (1, 2, EVALUATIONS):
        ledger = _search(toy_problem(), make, evaluations)
        _require(ledger.count > 0, f"count: of {evaluations} evaluations none was spent")


def _determinism(make: Make) -> None:
    first, again = (_search(toy_problem(), make, EVALUATIONS, 3) for _ in range(2))
    _require(
        _plans(first.history) == _plans(again.history),
        "determinism: the same seed gives another history; draw from"
        " numpy.random.default_rng(seed) only",
    )


def _resumption(make: Make) -> None:
    problem = toy_problem()
    whole = _search(problem, make, EVALUATIONS)
    part = whole.history[: whole.count // 2]
    ledger = Ledger(problem, EVALUATIONS, known={record.plan: record.evaluation for record in part})
    _run(problem, make, ledger, 0)
    _require(
        _plans(ledger.history) == _plans(whole.history),
        "resume: half of the evaluations are known, and the history is another; do not depend on"
        " anything but problem, ledger and seed",
    )


def _random_states(make: Make) -> None:
    random.getrandbits(1), np.random.random(), torch.rand(1)  # seeding may lead to the same states
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    _search(toy_problem(), make, 5)
    state = np.random.get_state()
    same = (
        random.getstate() == before[0],
        all(np.array_equal(a, b) for a, b in zip(state, before[1], strict=True)),
        torch.equal(torch.get_rng_state(), before[2]),
    )
    for name, left in zip(("random", "numpy.random", "torch"), same, strict=True):
        _require(left, f"random states: that of {name} changes; see autoprune.agents.base.isolated")


def _failures(make: Make) -> None:
    problem = toy_problem()

    def evaluate(plan: Plan) -> Evaluation:
        good = sum(plan.values()) % 2 == 0
        return problem.evaluate(plan) if good else Evaluation(math.nan, math.nan)

    ledger = _search(replace(problem, scorer=FunctionScorer(evaluate)), make, EVALUATIONS)
    _require(ledger.count > 0, "failures: no plan is evaluated where some fail")


def _stop(make: Make) -> None:
    problem = toy_problem()
    asked: list[Plan] = []

    def evaluate(plan: Plan) -> Evaluation:
        asked.append(plan)
        return problem.evaluate(plan)

    scored = replace(problem, scorer=FunctionScorer(evaluate))
    ledger = Ledger(scored, 1000, lambda record: ledger.stop() if record.number == 3 else None)
    _run(scored, make, ledger, 0)
    _require(len(asked) < 100, f"stop: after 3 evaluations it goes on to {len(asked)}")


def _plans(history: list[Record]) -> list[Plan]:
    return [record.plan for record in history]


def _require(condition: bool, said: str) -> None:
    if not condition:
        raise AssertionError(said)
