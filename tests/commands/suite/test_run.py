"""Suites from the command line: repetition, cheats, failures, and what is refused."""

import json

import pytest

from autoprune.cli.main import main
from tests.commands.suite.tables import toy_table, write_suite

CODE = '''
import gc, itertools, sys, time
import numpy as np
from autoprune import Ledger
from autoprune.agents.base import propose
from autoprune.problem.ledger import OutOfEvaluations


def walk(problem, rng):
    counts = []
    for group in range(len(problem.structure.groups)):
        low, high = problem.budget.interval(counts)
        counts.append(problem.budget.round_count(group, rng.uniform(low, high), low, high))
    return problem.cost.plan(counts)


class Walks:
    def search(self, problem, ledger, seed):
        rng = np.random.default_rng(seed)
        while plans := propose(ledger, lambda: walk(problem, rng)):
            ledger.evaluate_all(plans)


class Reader(Walks):
    """Reads the test column from the disk, and swallows what it is told about that."""

    def search(self, problem, ledger, seed):
        try:
            open(TABLE, "rb").read()
        except Exception:
            pass
        super().search(problem, ledger, seed)


class Seeker(Walks):
    """Looks for a table, or anything with three columns, in its memory."""

    def search(self, problem, ledger, seed):
        for thing in gc.get_objects():
            if type(thing).__name__ in ("Table", "Surrogate", "Arena"):
                raise ValueError(f"found a {type(thing).__name__}")
            if isinstance(thing, np.ndarray) and thing.ndim == 2 and thing.shape[1] == 3:
                if len(thing) > 50:
                    raise ValueError("found losses")
        super().search(problem, ledger, seed)


class Spender(Walks):
    """Keeps no count, then makes itself another one, and goes on when nothing is left."""

    def search(self, problem, ledger, seed):
        rng = np.random.default_rng(seed)
        for _ in range(300):
            try:
                problem.evaluate(walk(problem, rng))
                Ledger(problem, 10**6).evaluate(walk(problem, rng))
            except OutOfEvaluations:
                pass
        ledger.limit = 10**6
        super().search(problem, ledger, seed)


class Lucky(Walks):
    """Repeats a plan until it is lucky, and remembers earlier searches."""

    searches = []

    def search(self, problem, ledger, seed):
        if self.searches:
            raise ValueError("remembers")
        self.searches.append(seed)
        plan = problem.budget.uniform()
        found = {problem.evaluate(plan).loss for _ in range(200)}
        if len(found) > 1:
            raise ValueError("lucky")
        super().search(problem, ledger, seed)


class Raises:
    def search(self, problem, ledger, seed):
        ledger.evaluate(problem.budget.uniform())
        raise RuntimeError("no luck\\ntoday")


class Endless:
    def search(self, problem, ledger, seed):
        while True:
            time.sleep(0.01)


class Dense:
    def search(self, problem, ledger, seed):
        problem.evaluate(problem.cost.plan(problem.budget.largest))


class Leaves:
    def search(self, problem, ledger, seed):
        import os
        os._exit(3)
'''


@pytest.fixture
def code(tmp_path, suite):
    path = tmp_path / "mine.py"
    path.write_text(f"TABLE = {str(suite / 'toy' / 'plans.zlib')!r}\n{CODE}")
    return path


def play(suite, run, searchers, *options, evaluations=12, seeds=2):
    return main(
        [
            *("suite", "--tables", str(suite), "--run", str(run), "--searchers", *searchers),
            *("--evaluations", str(evaluations), "--seeds", str(seeds), *options),
        ]
    )


def entries(run, task=0):
    found = json.loads((run / "result.json").read_text())
    return found["tasks"][task]["budgets"][0]["searchers"]


def test_two_runs_of_a_suite_give_the_same_bytes(suite, code, tmp_path, capsys):
    names = ["uniform", "dp", f"{code}:Walks"]
    for run in ("one", "two"):
        assert play(suite, tmp_path / run, names) == 0
    for file in ("result.json", "leaderboard.json", "leaderboard.md"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    shown = " ".join(capsys.readouterr().out.split())
    assert "Holm" in shown and "toy-flops" in shown
    found = json.loads((tmp_path / "one" / "result.json").read_text())
    assert [task["name"] for task in found["tasks"]] == ["toy-flops", "toy-params"]
    walks = entries(tmp_path / "one")["mine.py:Walks"]
    assert walks["evaluations"] == 24 == sum(walks["answered"].values())
    assert walks["answered"]["surrogate"] > 0 and walks["answered"]["evaluated"] == 0
    assert entries(tmp_path / "one")["uniform"]["answered"]["table"] == 2
    assert walks["loss"] == [curve[-1][1] for curve in walks["curves"]]
    ranks = [row["rank"] for row in found["leaderboard"]]
    assert ranks == sorted(ranks) and "Suite test" in (tmp_path / "one/leaderboard.md").read_text()
    times = json.loads((tmp_path / "one" / "times.json").read_text())
    assert list(times) == list(entries(tmp_path / "one"))
    assert "mine.py:Walks" in (tmp_path / "one" / "report.html").read_text()


def test_a_finished_suite_is_shown_again_and_an_unfinished_one_goes_on(suite, tmp_path, capsys):
    assert play(suite, tmp_path / "run", ["uniform", "random"], "--json") == 0
    first = capsys.readouterr().out
    whole = (tmp_path / "run" / "result.json").read_bytes()
    assert play(suite, tmp_path / "run", ["uniform", "random"], "--json") == 0
    assert capsys.readouterr().out == first
    assert json.loads(first) == json.loads(whole)
    (tmp_path / "run" / "result.json").unlink()
    assert play(suite, tmp_path / "run", ["uniform", "random"]) == 0
    assert (tmp_path / "run" / "result.json").read_bytes() == whole


def test_cheats_gain_nothing(suite, code, tmp_path):
    kinds = ("Seeker", "Spender", "Lucky", "Reader")
    names = ["random", *(f"{code}:{kind}" for kind in kinds)]
    options = ("--tasks", "toy-flops")
    assert play(suite, tmp_path / "run", names, *options) == 1
    found = entries(tmp_path / "run")
    assert "reads the tables" in found["mine.py:Reader"]["complaint"]
    for kind in kinds[:-1]:
        entry = found[f"mine.py:{kind}"]
        assert "complaint" not in entry, entry
        assert entry["evaluations"] == 24
    assert found["random"]["evaluations"] == 24


def test_a_searcher_that_fails_is_one_line_and_the_others_stay(suite, code, tmp_path, capsys):
    names = ["dp", *(f"{code}:{kind}" for kind in ("Raises", "Dense", "Leaves", "Missing"))]
    assert play(suite, tmp_path / "run", names, "--tasks", "toy-flops") == 1
    found = entries(tmp_path / "run")
    assert "RuntimeError: no luck" in found["mine.py:Raises"]["complaint"]
    assert "exceeds the budget" in found["mine.py:Dense"]["complaint"]
    assert "ended before" in found["mine.py:Leaves"]["complaint"]
    assert "has no 'Missing'" in found["mine.py:Missing"]["complaint"]
    assert all("\n" not in entry.get("complaint", "") for entry in found.values())
    assert found["dp"]["evaluations"] > 0
    rows = json.loads((tmp_path / "run" / "leaderboard.json").read_text())
    assert rows[0]["searcher"] == "dp" and [row["rank"] for row in rows[1:]] == [None] * 4
    assert "left out" in " ".join(capsys.readouterr().out.split())


def test_a_searcher_that_never_ends_is_ended(suite, code, tmp_path):
    names = ["uniform", f"{code}:Endless"]
    assert play(suite, tmp_path / "run", names, "--limit", "0.5", "--tasks", "toy-flops") == 1
    found = entries(tmp_path / "run")
    assert "did not end within 0.5 seconds" in found["mine.py:Endless"]["complaint"]
    assert "complaint" not in found["uniform"]


def test_a_damaged_table_is_skipped_and_the_others_stay(tmp_path, capsys):
    place = write_suite(tmp_path / "suite", toy_table(20, "good"), toy_table(20, "bad"))
    path = place / "bad" / "plans.zlib"
    path.write_bytes(path.read_bytes()[:-4])
    assert play(place, tmp_path / "run", ["uniform"]) == 1
    found = json.loads((tmp_path / "run" / "result.json").read_text())
    assert [task["name"] for task in found["tasks"]] == ["good-flops", "good-params"]
    assert "sha256" in found["skipped"]["bad"]
    assert "table bad is skipped" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--searchers", "evolutoin"], "did you mean evolution?"),
        (["--searchers", "nowhere.py:Mine"], "no file nowhere.py"),
        (["--searchers", "dp", "dp"], "named twice"),
        (["--tasks", "toy-flop"], "did you mean toy-flops?"),
        (["--budgets", "0.4flops"], "did you mean 0.5flops?"),
        (["--limit", "0"], "--limit"),
        (["--tables", "nowhere"], "no tables in nowhere"),
    ],
)
def test_what_cannot_be_run_is_said_at_once(suite, tmp_path, capsys, options, said):
    given = ["suite", "--tables", str(suite), "--run", str(tmp_path / "run"), *options]
    assert main(given) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert not (tmp_path / "run" / "result.json").exists()
