"""Published searchers in benchmarks/searchers: they conform, and beat the uniform plan."""

from pathlib import Path

import pytest

from autoprune.agents.base import let_search
from autoprune.foundation.user_code import load
from autoprune.problem.ledger import Ledger
from autoprune.testing import check_searcher, toy_problem

FOLDER = Path(__file__).resolve().parents[3] / "benchmarks" / "searchers"
NAMES = {
    "amc": "AMC",
    "annealing": "Annealing",
    "bayes": "Bayes",
    "eagleeye": "EagleEye",
    "evopress": "EvoPress",
    "netadapt": "NetAdapt",
    "spdy": "SPDY",
}


def made(file):
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
    assert 20 < ledger.count <= 60
    assert ledger.best.evaluation.loss < problem.evaluate(problem.budget.uniform()).loss
