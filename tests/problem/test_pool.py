"""Pool of scorers: races do not depend on the number of processes."""

import dataclasses

from autoprune.cost.budget import Budget
from autoprune.cost.model import CostModel
from autoprune.problem.evaluator import Evaluator
from autoprune.problem.ledger import Ledger
from autoprune.problem.pool import ScorerPool
from autoprune.problem.problem import PruningProblem
from tests.problem.plans import plans


def problem_in(parts, workers):
    structure, ranking = parts.structure, parts.ranking
    pool = ScorerPool(Evaluator(parts), workers, 100)
    cost = CostModel(structure)
    budget = Budget.parse("1.0flops").bind(cost)
    return PruningProblem(structure, cost, budget, ranking, pool), pool


def searched(parts, workers, known=None, batch=4):
    """Evaluate plans in batches; return the history, seconds left out, and who ran."""
    problem, pool = problem_in(parts, workers)
    ledger = Ledger(problem, 16, known=known)
    every = plans(parts.structure, 16)
    try:
        for start in range(0, 16, batch):
            ledger.evaluate_all(every[start : start + batch])
    finally:
        pool.close()
    return [
        (record.plan, dataclasses.replace(record.evaluation, seconds=0))
        for record in ledger.history
    ]


def test_races_do_not_depend_on_workers_or_on_a_pause(parts):
    alone = searched(parts, 1)
    doubtful = [found for _, found in alone if found.doubt]
    assert len(doubtful) > 4
    assert not any(found.doubt for _, found in alone[:4])  # there was nobody to beat
    assert searched(parts, 2) == alone
    for stopped in (3, 9):
        assert searched(parts, 1, dict(alone[:stopped])) == alone
    best = min(found.loss for _, found in alone if not found.doubt)
    assert all(found.loss > best for found in doubtful)
