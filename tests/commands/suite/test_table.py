"""Tables: what is written is read, exactly; whatever differs is refused with one line."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoprune.agents.base import let_search
from autoprune.agents.registry import searcher
from autoprune.commands.suite.answers import answers
from autoprune.commands.suite.frozen import FrozenProblem
from autoprune.commands.suite.surrogate import features, spearman
from autoprune.commands.suite.table import SuiteIndex, Table
from autoprune.errors import DamagedError, UsageError
from autoprune.problem.ledger import Ledger
from autoprune.problem.scorer import FunctionScorer
from autoprune.structure.depth import settled
from autoprune.testing import toy_problem
from tests.commands.suite.tables import (
    branched,
    ranked,
    recorded,
    toy_table,
    truth,
    write_suite,
)
from tests.synthetic import deep_structures


def thawed(problem):
    return FrozenProblem.from_json(json.loads(json.dumps(FrozenProblem.of(problem).to_json())))


@pytest.mark.parametrize("real", [toy_problem(0, "0.4flops", 8), branched()], ids=["wide", "deep"])
@pytest.mark.parametrize("name", ["dp", "evolution", "greedy", "random", "ddpg"])
def test_a_searcher_cannot_tell_a_frozen_problem_from_the_real_one(name, real):
    frozen = thawed(real)
    posed = frozen.pose("0.4flops", FunctionScorer(real.evaluate))
    histories = []
    for problem in (real, posed):
        ledger = Ledger(problem, 12)
        let_search(searcher(name), problem, ledger, 3)
        histories.append([(record.plan, record.evaluation.loss) for record in ledger.history])
    assert histories[0] == histories[1] and len(histories[0]) > 4


@settings(max_examples=40)
@given(deep_structures, st.data())
def test_every_cost_knows_the_branches_that_are_gone(structure, data):
    real = ranked(structure, "1flops")
    frozen = thawed(real)
    kept = {name: data.draw(st.integers(1, size)) for name, size in structure.sizes.items()}
    for branch in structure.branches:
        kept[branch.name] = data.draw(st.integers(0, 1))
    plan = settled(structure, kept)
    assert frozen.cost.counts(plan).tolist() == real.cost.counts(plan).tolist()
    for cost in ("macs", "parameters", "bytes", "energy"):
        assert getattr(frozen.cost, cost)(plan) == getattr(real.cost, cost)(plan)


def test_what_goes_with_a_branch_is_no_width_to_the_surrogate():
    problem = FrozenProblem.of(branched())
    names = list(problem.structure.sizes)
    (inner,) = next(one.groups for one in problem.structure.branches if one.name == "block2")
    gone = problem.cost.counts(settled(problem.structure, {**problem.structure.sizes, "block2": 0}))
    found = features(problem, np.array([gone, problem.cost.counts(problem.structure.sizes)]))
    plain = [group for group in problem.structure.groups if group.kind != "branch"]
    wide = replace(problem, structure=replace(problem.structure, groups=tuple(plain)))
    whole = np.array([[group.size for group in plain]])
    assert features(wide, whole)[0, : len(plain)].tolist() == [1.0] * len(plain)
    assert gone[names.index(inner)] > 0  # what comes back with the branch
    assert found[:, names.index(inner)].tolist() == [0.0, 1.0]


def test_every_cost_of_a_frozen_problem_is_that_of_the_network():
    real = toy_problem(0, "0.5flops", 8)
    frozen = FrozenProblem.from_json(FrozenProblem.of(real).to_json())
    for plan in recorded(20):
        for cost in ("macs", "parameters", "bytes", "energy"):
            assert getattr(frozen.cost, cost)(plan) == getattr(real.cost, cost)(plan)


def test_recorded_plans_are_answered_exactly_and_others_by_the_surrogate(table, suite):
    read = Table.read(suite / "toy", SuiteIndex.read(suite).tables["toy"])
    names = list(read.problem.structure.sizes)
    for split, column in (("search", 0), ("validation", 1), ("test", 2)):
        for counts, found in zip(
            read.counts, answers(read, read.counts.tolist(), split), strict=True
        ):
            losses, scores = truth(dict(zip(names, map(int, counts), strict=True)))
            assert found.source == "table"
            assert found.loss == np.float32(losses[column])
            assert found.score == np.float32(scores[column])
    other = [int(count) for count in read.problem.cost.counts(dict(read.problem.structure.sizes))]
    assert answers(read, [other])[0].source == "surrogate"
    assert answers(read, [other]) == answers(table, [other])


def test_a_surrogate_ranks_plans_that_it_never_saw(table):
    counts, true = table.counts[table.held], table.losses[table.held, 0]
    guessed, _ = table.surrogate(counts, 0)
    assert len(true) >= 20 and spearman(guessed, true) > 0.95
    assert table.quality["0.5flops"].spearman == spearman(np.log(guessed), np.log(true))
    wrong = np.random.default_rng(0).permutation(guessed)
    assert abs(spearman(wrong, true)) < 0.6


def test_ties_share_their_rank():
    assert spearman(np.array([1.0, 1.0, 2.0]), np.array([5.0, 5.0, 9.0])) == 1.0
    assert spearman(np.array([1.0, 2.0, 3.0]), np.array([3.0, 2.0, 1.0])) == -1.0
    assert spearman(np.array([1.0, 1.0]), np.array([1.0, 2.0])) == 0.0


def test_a_whole_table_refuses_plans_that_are_in_no_row(tmp_path):
    place = write_suite(tmp_path, toy_table(20, fitted=False))
    read = Table.read(place / "toy", SuiteIndex.read(place).tables["toy"])
    assert read.whole and read.quality == {}
    with pytest.raises(UsageError, match="no surrogate"):
        answers(read, [[1] * len(read.problem.structure.groups)])


@pytest.mark.parametrize("file", ["table.json", "plans.zlib"])
def test_a_changed_file_is_refused_by_name(tmp_path, file):
    place = write_suite(tmp_path, toy_table(20, fitted=False))
    content = (place / "toy" / file).read_bytes()
    (place / "toy" / file).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(DamagedError, match=f"{file}.*sha256"):
        Table.read(place / "toy", SuiteIndex.read(place).tables["toy"])
    (place / "toy" / file).unlink()
    with pytest.raises(DamagedError, match=f"{file} is missing"):
        Table.read(place / "toy", SuiteIndex.read(place).tables["toy"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 99}, "format 99"),
        ({"problem": {}}, "damaged"),
        ({"costs": {"macs": 1}}, "another way"),
        ({"tasks": 7}, "damaged"),
    ],
)
def test_another_version_is_refused_though_its_hash_is_right(tmp_path, change, said):
    place = write_suite(tmp_path, toy_table(20, fitted=False))
    path = place / "toy" / "table.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(DamagedError, match=said):
        Table.read(place / "toy", hashlib.sha256(path.read_bytes()).hexdigest())


def test_a_folder_without_tables_is_said(tmp_path):
    with pytest.raises(UsageError, match="no tables"):
        SuiteIndex.read(tmp_path)
    (tmp_path / "suite.json").write_text('{"format": 2}')
    with pytest.raises(DamagedError, match="format 2"):
        SuiteIndex.read(tmp_path)
