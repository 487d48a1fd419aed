"""Ledger: count, limit, cache, failures and resumption."""

import dataclasses
import math

import pytest

from autoprune.errors import UsageError
from autoprune.problem.evaluation import Evaluation
from autoprune.problem.ledger import Ledger, OutOfEvaluations
from autoprune.problem.scorer import FunctionScorer
from autoprune.structure.plan import Plan
from tests.landscape import chain_landscape


def problem_with(evaluate):
    return dataclasses.replace(chain_landscape(0, groups=3), scorer=FunctionScorer(evaluate))


def plans(problem, number):
    """Distinct plans within the budget."""
    counts = problem.budget.smallest
    return [problem.cost.plan([counts[0] + i, *counts[1:]]) for i in range(number)]


def test_a_repeat_is_free_and_the_limit_holds():
    calls = []
    problem = problem_with(lambda plan: calls.append(plan) or Evaluation(0.5, 1.0))
    ledger = Ledger(problem, 2)
    first, second, third = plans(problem, 3)
    for plan in (first, first, dict(reversed(list(first.items()))), second, first):
        ledger.evaluate(plan)
    assert calls == [first, second]
    assert (ledger.count, ledger.left) == (2, 0)
    with pytest.raises(OutOfEvaluations):
        ledger.evaluate(third)
    assert ledger.evaluate(second).score == 0.5
    assert first in ledger and third not in ledger
    assert [record.number for record in ledger.history] == [1, 2]


def test_best_is_by_loss_whatever_the_score_and_the_first_of_equals():
    results = iter([(0.5, 1.0), (0.7, 2.0), (0.6, 0.5), (0.7, 0.5), (0.9, 0.6)])
    problem = problem_with(lambda plan: Evaluation(*next(results)))
    ledger = Ledger(problem, 5)
    assert ledger.best is None
    for plan in plans(problem, 5):
        ledger.evaluate(plan)
    assert ledger.best.number == 3


@pytest.mark.parametrize("bad", [(math.nan, 1.0), (0.9, math.inf), (0.9, math.nan)])
def test_a_non_finite_evaluation_fails_finitely_and_is_never_best(bad):
    results = iter([bad, (0.0, 5.0)])
    problem = problem_with(lambda plan: Evaluation(*next(results), seconds=2.0))
    seen = []
    ledger = Ledger(problem, 2, seen.append)
    failed, fine = (ledger.evaluate(plan) for plan in plans(problem, 2))
    assert failed.failed and failed.score == 0.0 and math.isfinite(failed.loss)
    assert failed.seconds == 2.0
    assert ledger.best.evaluation == fine
    assert [record.evaluation for record in seen] == [failed, fine]


def test_known_evaluations_count_but_are_not_computed():
    calls = []
    problem = problem_with(lambda plan: calls.append(plan) or Evaluation(0.5, 1.0))
    first, second = plans(problem, 2)
    ledger = Ledger(problem, 2, known={first: Evaluation(0.9, 0.1)})
    assert ledger.evaluate(first).score == 0.9
    ledger.evaluate(second)
    assert calls == [second]
    assert [record.recalled for record in ledger.history] == [True, False]


def test_what_was_paid_for_counts_when_a_resumed_search_takes_another_course():
    calls, seen = [], []
    problem = problem_with(lambda plan: calls.append(plan) or Evaluation(0.5, 1.0))
    first, second, third, other, last = plans(problem, 5)
    losses = {first: 3.0, second: 0.1, third: 2.0}
    known = {plan: Evaluation(0.5, loss) for plan, loss in losses.items()}
    ledger = Ledger(problem, 4, seen.append, known)
    ledger.evaluate(first)
    assert ledger.adopted == 0
    ledger.evaluate_all([other, third])  # not what came next, which was the second
    assert (calls, ledger.adopted, ledger.left) == ([other], 2, 0)
    assert [record.plan for record in seen] == [first, second, third, other]
    assert [record.number for record in seen] == [1, 2, 3, 4]
    assert [record.recalled for record in seen] == [True, True, True, False]
    assert ledger.best.plan == second
    assert ledger.evaluate(second).loss == 0.1
    with pytest.raises(OutOfEvaluations):
        ledger.evaluate(last)


def test_a_search_that_goes_on_in_the_middle_of_a_round_takes_the_same_course():
    problem = problem_with(lambda plan: Evaluation(0.5, 1.0))
    first, second, third = plans(problem, 3)
    known = {first: Evaluation(0.5, 3.0), second: Evaluation(0.5, 2.0)}
    ledger = Ledger(problem, 3, known=known)
    ledger.evaluate_all([first, second, third])
    assert ledger.adopted == 0
    assert [record.recalled for record in ledger.history] == [True, True, False]


def test_nothing_over_the_budget_is_ever_evaluated():
    problem = problem_with(lambda plan: pytest.fail("evaluated"))
    with pytest.raises(ValueError, match="exceeds the budget"):
        Ledger(problem, 1).evaluate(Plan.dense(problem.structure))


def test_a_search_needs_an_evaluation():
    problem = chain_landscape(0, groups=3)
    with pytest.raises(UsageError, match="at least 1"):
        Ledger(problem, 0)


def test_plans_race_against_the_best_complete_evaluation():
    problem = chain_landscape(0, groups=3)
    counts = problem.budget.smallest
    some = [problem.cost.plan([counts[0] + i, *counts[1:]]) for i in range(4)]
    results = iter(
        [(0.5, 3.0, 0.0), (0.5, math.nan, 0.0), (0.5, 1.0, 0.1), (0.5, 2.0, 0.0)],
    )
    leaders = []

    class FixedScorer:
        def score(self, asked, best=None):
            leaders.append(best)
            for _ in asked:
                score, loss, doubt = next(results)
                yield Evaluation(score, loss, doubt=doubt)

    ledger = Ledger(dataclasses.replace(problem, scorer=FixedScorer()), 4)
    for plan in some:
        ledger.evaluate(plan)
    assert leaders == [None, some[0], some[0], some[0]]
    assert ledger.best.plan == some[3]
