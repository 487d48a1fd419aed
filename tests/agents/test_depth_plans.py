"""Plans that take out branches: the order, the number, and every searcher on such a problem."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoprune.agents.depth_plans import least_number, number_gone, removal_order, scanned
from autoprune.agents.initial_plans import baseline_plans, least_error
from autoprune.agents.registry import SEARCHERS
from autoprune.envs.walk import curves
from autoprune.structure.depth import settled
from autoprune.structure.table import BRANCH
from tests.agents.searching import make, search
from tests.landscape import landscape
from tests.synthetic import with_branches


def problem(seed=0, budget="0.4flops", nested=True):
    return landscape(with_branches([12, 8, 10, 6], 12, nested=nested), seed, budget)


def test_the_order_is_that_of_error_for_cost():
    posed = problem(nested=False)
    errors = curves(posed)
    sizes = posed.structure.sizes
    names = list(sizes)
    cost = posed.cost.macs

    def ratio(name):
        saved = 1 - cost(settled(posed.structure, {**sizes, name: 0})) / cost.dense
        return errors[names.index(name)][0] / saved

    order = removal_order(posed, errors)
    assert order == sorted(order, key=ratio)
    assert set(order) == {group.name for group in posed.structure.groups if group.kind == BRANCH}


@settings(max_examples=60)
@given(st.integers(1, 40), st.data())
def test_the_least_number_is_found_of_totals_that_fall_and_rise_once(most, data):
    best = data.draw(st.integers(0, most))
    posed = problem()
    order = [f"branch{place}" for place in range(most)]
    asked = []

    class Budget:
        smallest = None

        def __init__(self, gone):
            self.gone = len(gone)

        def without(self, gone):
            return Budget(gone)

        def fits(self, counts):
            return True

    def total(budget):
        asked.append(budget.gone)
        return abs(budget.gone - best)

    posed = type("Posed", (), {"budget": Budget(())})
    assert least_number(posed, order, total) == best
    assert len(set(asked)) <= 4 * np.log2(most + 1) + 6


@given(st.integers(0, 30), st.integers(1, 30))
def test_the_scan_tries_more_and_none(number, most):
    number = min(number, most)
    tried = scanned(number, most)
    assert number not in tried
    assert all(0 <= one <= most for one in tried)
    assert len(set(tried)) == len(tried)
    if number:
        assert 0 in tried
    if number < most:
        assert any(one > number for one in tried)


@pytest.mark.parametrize("seed", range(3))
def test_a_number_of_branches_is_kept_to(seed):
    posed = problem(seed, "0.5flops", nested=False)
    for gone in range(4):
        plan = least_error(posed, gone=gone)
        assert posed.budget.met(plan)
        assert posed.budget.top_up(plan) == plan
        whole = all(kept in (0, posed.structure.sizes[name]) for name, kept in plan.items())
        assert number_gone(posed, plan) == gone or (whole and number_gone(posed, plan) < gone)


@pytest.mark.parametrize("budget", ["0.4flops", "0.02flops"])
@pytest.mark.parametrize("name", SEARCHERS)
def test_every_searcher_decides_branches_within_the_budget(name, budget):
    posed = problem(1, budget)
    ledger = search(posed, make(name), 24)
    again = search(posed, make(name), 24)
    assert ledger.history == again.history
    for record in ledger.history:
        record.plan.check(posed.structure)
        assert posed.budget.met(record.plan)
    first = posed.evaluate(posed.budget.uniform()).loss
    assert ledger.best.evaluation.loss <= first
    numbers = {number_gone(posed, record.plan) for record in ledger.history}
    assert name == "uniform" or max(numbers) > 0


def test_plans_worth_a_first_evaluation_differ_in_their_branches():
    plans = baseline_plans(problem(2, nested=False))
    assert len({number_gone(problem(2, nested=False), plan) for plan in plans}) >= 3
