"""Conformance of every searcher: determinism, count, budget, resumption, random states, batches."""

import dataclasses
import math
import random

import numpy as np
import pytest
import torch

from autoprune.agents.initial_plans import least_error
from autoprune.agents.registry import SEARCHERS
from autoprune.problem.evaluation import Evaluation
from autoprune.problem.ledger import Ledger
from autoprune.problem.scorer import FunctionScorer
from tests.agents.searching import LEARNERS, make, search
from tests.landscape import chain_landscape, landscape, residual_landscape
from tests.synthetic import chain


@pytest.mark.parametrize("name", SEARCHERS)
def test_the_same_seed_gives_the_same_history_and_other_seeds_another(name):
    problem = chain_landscape(0, groups=6)
    first, again, other = (search(problem, make(name), 15, seed) for seed in (3, 3, 4))
    assert first.history == again.history
    assert (first.history == other.history) == (name in ("uniform", "greedy"))


@pytest.mark.parametrize("name", SEARCHERS)
def test_searchers_spend_exactly_their_evaluations_and_never_fall_below_uniform(name):
    problem = residual_landscape(0, blocks=2)
    for evaluations in (1, 2, 20):
        ledger = search(problem, make(name), evaluations)
        assert ledger.count == (1 if name == "uniform" else evaluations)
        first = least_error(problem) if name == "dp" else problem.budget.uniform()
        assert ledger.best.evaluation.loss <= problem.evaluate(first).loss
        assert len({record.plan for record in ledger.history}) == ledger.count


@pytest.mark.parametrize("name", SEARCHERS)
def test_a_resumed_search_has_the_history_of_an_unbroken_one(name):
    problem = chain_landscape(0, groups=6)
    whole = search(problem, make(name), 12)
    known = {record.plan: record.evaluation for record in whole.history[:7]}
    resumed = Ledger(problem, 12, known=known)
    make(name).search(problem, resumed, 0)
    assert [r.plan for r in resumed.history] == [r.plan for r in whole.history]
    assert [r.recalled for r in resumed.history] == [i < 7 for i in range(whole.count)]


@pytest.mark.parametrize("name", SEARCHERS)
def test_global_random_states_are_left_alone_and_nothing_is_printed(name, capsys):
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    expected = random.random(), np.random.rand(), float(torch.rand(1))
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    with torch.no_grad():
        search(chain_landscape(0, groups=4), make(name), 6)
    assert (random.random(), np.random.rand(), float(torch.rand(1))) == expected
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("name", SEARCHERS)
def test_a_search_with_few_plans_ends(name):
    """One group, a budget that takes everything: fewer plans than evaluations."""
    for structure, budget in ((chain([7]), "0.5flops"), (chain([4, 4]), "1flops")):
        ledger = search(landscape(structure, 0, budget), make(name), 40)
        assert 1 <= ledger.count < 40


@pytest.mark.parametrize("name", SEARCHERS)
@pytest.mark.parametrize("bad", [math.nan, -math.inf])
def test_failing_evaluations_do_not_stop_the_search(name, bad):
    base = chain_landscape(0, groups=5)
    rng = np.random.default_rng(0)

    def evaluate(plan):
        return base.evaluate(plan) if rng.random() < 0.3 else Evaluation(bad, 1.0)

    for broken in (evaluate, lambda plan: Evaluation(bad, bad)):
        ledger = search(dataclasses.replace(base, scorer=FunctionScorer(broken)), make(name), 12)
        assert ledger.count == (1 if name == "uniform" else 12)


@pytest.mark.parametrize("name", LEARNERS)
def test_learners_report_finite_metrics(name):
    seen = []
    search(chain_landscape(0, groups=5), make(name, on_step=seen.append), 20)
    assert len(seen) >= 14
    assert all(math.isfinite(value) for metrics in seen for value in metrics.values())
    assert {"reward_loss"} < set(seen[-1])


def test_budgets_over_several_costs_and_widths_are_kept():
    problem = chain_landscape(2, groups=8, budget="0.5flops,0.4params", align=8)
    for name in SEARCHERS:
        for record in search(problem, make(name), 10).history:
            assert problem.budget.met(record.plan)
            assert all(
                record.plan[g.name] % 8 == 0 or record.plan[g.name] == g.size
                for g in problem.structure.groups
            )


@pytest.mark.parametrize("name", ["random", "greedy", "evolution", "dp"])
def test_batches_scored_elsewhere_change_nothing(name):
    """Plans are asked for in batches whose size is the searcher's own."""
    problem = residual_landscape(0, blocks=2)
    asked = []

    class Elsewhere:
        def score(self, plans, best=None):
            asked.append(len(plans))
            return iter([problem.evaluate(plan) for plan in plans])

    alone = search(problem, make(name), 21)
    shared = search(dataclasses.replace(problem, scorer=Elsewhere()), make(name), 21)
    assert shared.history == alone.history
    assert sum(asked) == 21 and max(asked) > 1
