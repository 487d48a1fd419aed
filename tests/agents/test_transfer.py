"""Plans for a budget by searches at others: on the budget, and better than without these."""

from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoprune.agents.initial_plans import baseline_plans
from autoprune.agents.registry import searcher
from autoprune.agents.transfer import Explored, scaled, transferred
from autoprune.cost.budget import Budget
from autoprune.foundation.executors import ROUND
from autoprune.problem.evaluation import Evaluation
from autoprune.problem.ledger import Ledger
from tests.agents.searching import make
from tests.landscape import chain_landscape, landscape
from tests.synthetic import structures


def at(problem, budget):
    """The same network and landscape at another budget."""
    return replace(problem, budget=Budget.parse(budget).bind(problem.cost, problem.budget.steps))


def explored(problem, evaluations):
    ledger = Ledger(problem, evaluations)
    searcher("dp").search(problem, ledger, 0)
    trials = tuple((record.plan, record.evaluation) for record in ledger.history)
    return Explored(problem.budget, trials)


@cache
def taught(seed):
    """A landscape, and what a search at half its FLOPs found."""
    problem = chain_landscape(seed, groups=8)
    return problem, explored(problem, 40)


@settings(max_examples=10)
@given(structures, st.integers(0, 9), st.sampled_from(["0.7flops", "0.8params,0.9flops"]))
def test_plans_are_on_the_budget_and_nothing_can_be_added(structure, seed, budget):
    try:
        problem = landscape(structure, seed, budget)
        other = at(problem, "0.8flops")
    except Exception as error:
        assert type(error).__name__ == "InfeasibleError"
        return
    plans = transferred(problem, [explored(other, 6)], seed)
    assert 1 <= len(plans) <= ROUND
    for plan in (*plans, scaled(problem.budget, other.budget.uniform())):
        assert problem.budget.met(plan)
        assert problem.budget.top_up(plan) == plan
    assert transferred(problem, [explored(other, 6)], seed) == plans


@pytest.mark.parametrize("budget", ["0.35flops", "0.7flops"])
def test_what_other_budgets_taught_beats_the_plans_that_a_search_begins_with(budget):
    gained = []
    for seed in range(6):
        problem, known = taught(seed)
        there = at(problem, budget)
        losses = [
            min(problem.evaluate(plan).loss for plan in plans)
            for plans in (baseline_plans(there), transferred(there, [known], 0))
        ]
        gained.append(losses[0] - losses[1])
    assert sum(gained) / len(gained) > 0
    assert sum(gain > 0 for gain in gained) >= 4


def test_the_nearest_budgets_decide():
    problem = chain_landscape(0)
    near, far = explored(at(problem, "0.5flops"), 12), explored(at(problem, "0.9flops"), 12)
    also = explored(at(problem, "0.45flops"), 12)
    there = at(problem, "0.48flops")
    assert transferred(there, [far, near, also], 0) == transferred(there, [near, also], 0)


def test_nothing_comes_of_nothing():
    problem = chain_landscape(1)
    assert transferred(problem, [], 0) == ()
    failed = Evaluation(0.0, 1e9, failed=True)
    assert (
        transferred(problem, [Explored(problem.budget, ((problem.budget.uniform(), failed),))], 0)
        == ()
    )


def test_a_plan_scaled_to_its_own_budget_stays_as_it_is():
    budget = chain_landscape(2).budget
    assert scaled(budget, budget.uniform()) == budget.uniform()


def test_ddpg_learns_from_the_plans_that_it_is_given_first():
    problem = chain_landscape(3, groups=4)
    first = transferred(problem, [explored(at(problem, "0.7flops"), 8)], 0)
    ledger = Ledger(problem, 12)
    make("ddpg").search(replace(problem, first=first), ledger, 0)
    assert [record.plan for record in ledger.history][: len(first)] == list(first)
