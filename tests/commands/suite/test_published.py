"""Published searchers in benchmarks/searchers: they conform, and beat the uniform plan."""

from pathlib import Path

import pytest

from autoprune.agents.base import let_search
from autoprune.foundation.user_code import load
from autoprune.problem.ledger import Ledger
from autoprune.testing import check_searcher, toy_problem
from tests.commands.suite.tables import branched

FOLDER = Path(__file__).resolve().parents[3] / "benchmarks" / "searchers"
NAMES = {
    "amc": "AMC",
    "annealing": "Annealing",
    "bayes": "Bayes",
    "cmaes": "CMAES",
    "eagleeye": "EagleEye",
    "evopress": "EvoPress",
    "halp": "HALP",
    "netadapt": "NetAdapt",
    "spdy": "SPDY",
    "tpe": "TPE",
}
NEEDS = {"tpe": "optuna"}


def made(file):
    if file in NEEDS:
        pytest.importorskip(NEEDS[file], reason=f"pip install 'autoprune[{NEEDS[file]}]'")
    return load(f"{FOLDER / file}.py:{NAMES[file]}")[0]


def test_every_file_is_listed():
    files = {path.stem for path in FOLDER.glob("*.py")} - {"fractions_of"}
    assert files == set(NAMES)
    text = (FOLDER / "README.md").read_text()
    assert all(f"| `{file}.py` | `{name}` |" in text for file, name in NAMES.items())


@pytest.mark.parametrize("file", sorted(NAMES.keys() - {"amc"}))  # ddpg, which does
def test_it_conforms(file):
    check_searcher(made(file))


@pytest.mark.parametrize("file", NAMES)
def test_it_finds_better_plans_than_the_uniform_one(file):
    problem = toy_problem(0, "0.4flops", 2)
    ledger = Ledger(problem, 60)
    let_search(made(file)(), problem, ledger, 0)
    assert (file == "halp" or 20 < ledger.count) and ledger.count <= 60
    assert ledger.best.evaluation.loss < problem.evaluate(problem.budget.uniform()).loss


@pytest.mark.parametrize("file", NAMES)
def test_it_searches_where_branches_may_go(file):
    problem = branched()
    ledger = Ledger(problem, 30)
    let_search(made(file)(), problem, ledger, 0)
    plans = [record.plan for record in ledger.history]
    assert all(problem.budget.met(plan) for plan in plans)
    for plan in plans:
        plan.check(problem.structure)
    assert file in ("halp", "netadapt") or any(0 in plan.values() for plan in plans)
