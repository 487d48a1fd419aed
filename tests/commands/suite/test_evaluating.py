"""Plans that are in no row, evaluated with the network that lies beside the table, and its data."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from autoprune.agents.random_search import random_walk
from autoprune.cli.main import main
from autoprune.commands.suite.frozen import FrozenProblem
from autoprune.commands.suite.recording import WEIGHTS, Recorded, Recorder, read_journal
from autoprune.commands.suite.table import SuiteTask, Table
from autoprune.envs.walk import WalkContext
from autoprune.errors import DamagedError, UsageError
from autoprune.networks import zoo
from tests.commands.suite.tables import write_suite

BUDGET = "0.5flops"
SHAPE = {"classes": 10, "channels": 1, "size": 8}
RECORDED = Recorded("digits-resnet", "digits", (60, 40, 50), SHAPE)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("suite")
    folder = place / "small"
    folder.mkdir()
    torch.manual_seed(0)
    save_file(zoo.build("digits-resnet", **SHAPE).state_dict(), folder / WEIGHTS)
    return place


@pytest.fixture(scope="module")
def recorder(place):
    problem = RECORDED.pose(place / "small", None)
    return Recorder(problem, RECORDED.samples, place / "journal.jsonl")


@pytest.fixture(scope="module")
def suite(place, recorder):
    """Return a suite of one table that holds the uniform plan and no other."""
    problem = FrozenProblem.of(recorder.problem)
    counts = recorder.problem.cost.counts(recorder.problem.budget.uniform())
    found = recorder.at(counts)
    about = asdict(RECORDED)
    about["samples"] = dict(zip(("search", "validation", "test"), RECORDED.samples, strict=True))
    table = Table(
        *("small", about, problem, (SuiteTask("small-flops", (BUDGET,)),), counts[None]),
        np.array([found.losses]),
        np.array([found.scores]),
        np.zeros(1, bool),
        whole=False,
        surrogate=None,
        quality={},
    )
    return write_suite(place, table)


def play(suite, run, *options):
    given = ("suite", "--tables", str(suite), "--run", str(run), "--searchers", "random")
    return main([*given, "--evaluations", "5", "--seeds", "2", *options])


def test_what_is_not_recorded_is_evaluated(suite, recorder, tmp_path):
    assert play(suite, tmp_path / "one", "--compute", "small") == 0
    assert play(suite, tmp_path / "two", "--compute", "small") == 0
    text = (tmp_path / "one" / "result.json").read_text()
    assert text == (tmp_path / "two" / "result.json").read_text()
    found = json.loads(text)["tasks"][0]["budgets"][0]["searchers"]["random"]
    assert found["answered"]["surrogate"] == 0
    assert found["answered"]["evaluated"] + found["answered"]["table"] == 10
    for plan, loss, test in zip(found["plans"], found["loss"], found["test_loss"], strict=True):
        true = recorder.at(plan)
        assert (loss, test) == pytest.approx((true.losses[0], true.losses[2]), rel=1e-5)


def test_a_recorder_evaluates_a_plan_once(recorder):
    plan = random_walk(WalkContext.of(recorder.problem), np.random.default_rng(3))
    first = recorder(plan)
    lines = recorder.journal.read_text().count("\n")
    assert recorder(plan) == first and recorder.journal.read_text().count("\n") == lines
    again = Recorder(recorder.problem, RECORDED.samples, recorder.journal)
    assert again.known == recorder.known


def test_a_line_that_a_kill_left_half_spoils_no_other(recorder, tmp_path):
    line = '[{"a": 3}, 1, 2, 3, 4, 5, 6]'
    journal = tmp_path / "journal.jsonl"
    journal.write_text(f"{line}\n{line[:14]}")
    again = Recorder(recorder.problem, RECORDED.samples, journal)
    again(recorder.problem.budget.uniform())
    assert len(dict(read_journal(journal))) == 2
    journal.write_text(f"{line[:14]}{line}\n{line}\n")
    assert len(dict(read_journal(journal))) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"network": "../elsewhere.py:made"},
        {"samples": {"search": -1, "validation": 1, "test": 1}},
        {"samples": {"search": float("inf"), "validation": 1, "test": 1}},
    ],
)
def test_a_table_that_says_nonsense_of_itself_is_damaged(suite, change):
    about = json.loads((suite / "small" / "table.json").read_text())["about"]
    with pytest.raises(DamagedError, match="small does not say"):
        Recorded.of({**about, **change}, suite / "small")


def test_what_is_missing_is_said_before_there_is_a_run(suite, tmp_path, capsys):
    file = suite / "small" / WEIGHTS
    file.rename(tmp_path / WEIGHTS)
    try:
        assert play(suite, tmp_path / "run", "--compute", "small") > 0
    finally:
        (tmp_path / WEIGHTS).rename(file)
    assert "network.safetensors is missing" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "is not in the table small"),
        (["--compute", "smal"], "did you mean small?"),
        (["--compute", "small=nowhere"], "nowhere"),
    ],
)
def test_what_cannot_be_answered_is_said(suite, tmp_path, capsys, options, said):
    assert play(suite, tmp_path / "run", *options) > 0
    assert said in " ".join(capsys.readouterr().err.split())


def test_another_network_is_refused(suite, tmp_path, capsys):
    file = suite / "small" / WEIGHTS
    before = load_file(file)
    try:
        torch.manual_seed(1)
        save_file(zoo.build("digits-resnet", **SHAPE).state_dict(), file)
        assert play(suite, tmp_path / "run", "--compute", "small") == 2
    finally:
        save_file(before, file)
    assert "about another network" in capsys.readouterr().err


def test_data_that_are_not_embedded_have_to_be_named(place):
    with pytest.raises(UsageError, match="--compute small=path"):
        replace(RECORDED, data="FashionMNIST").pose(place / "small", None)
