"""The tables of the repository: intact, small, and what they claim to be."""

from pathlib import Path

import numpy as np
import pytest

from autoprune.agents.random_search import random_walk
from autoprune.commands.suite.answers import answers
from autoprune.commands.suite.table import SuiteIndex, Table
from autoprune.envs.walk import WalkContext
from autoprune.problem.scorer import FunctionScorer

PLACE = Path(__file__).resolve().parents[3] / "benchmarks" / "suite"
INDEX = SuiteIndex.read(PLACE)


@pytest.mark.parametrize("name", INDEX.tables)
def test_a_table_is_intact_and_answers_what_searchers_ask(name):
    table = Table.read(PLACE / name, INDEX.tables[name])
    assert table.name == name and table.about["license"] and table.about["samples"]
    assert np.isfinite(table.losses).all() and (table.losses > 0).all()
    assert ((table.scores >= 0) & (table.scores <= 1)).all()
    assert len(table.rows) == len(table.counts)
    rng = np.random.default_rng(7)
    for budget in (text for task in table.tasks for text in task.budgets):
        problem = table.problem.pose(budget, FunctionScorer(None))
        context = WalkContext.of(problem)
        plans = [problem.budget.uniform(), *(random_walk(context, rng) for _ in range(20))]
        found = answers(table, [problem.cost.counts(plan).tolist() for plan in plans])
        assert all(0 < answer.loss < 20 for answer in found)
        if table.whole:
            assert {answer.source for answer in found} == {"table"}
        else:
            assert table.quality[budget].plans > 20 and table.surrogate is not None


def test_all_tables_together_are_small():
    assert sum(path.stat().st_size for path in PLACE.rglob("*")) < 40 * 10**6
