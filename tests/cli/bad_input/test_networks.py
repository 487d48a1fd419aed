"""Networks that cannot be pruned, budgets that cannot be reached, code that fails on the way."""

import json
import math
from functools import partial

import pytest

import autoprune
from autoprune.cli.commands import Command
from autoprune.cli.main import main
from autoprune.pipeline.config import SearchConfig
from autoprune.pipeline.search import run_search
from autoprune.pipeline.tuning import Tuning
from autoprune.pipeline.view import result_view
from autoprune.runs.journal import read_journal
from autoprune.training.config import FitConfig
from tests import owncode
from tests.complaints import FAILED, INFEASIBLE, USAGE, command, complaint, untouched


def test_a_network_that_cannot_be_exported_says_where(place, capsys):
    line = complaint(capsys, command(model="nets.py:branching"), USAGE)
    number = (
        owncode.NETS.lstrip()
        .splitlines()
        .index("        if x.sum() > 0:  # the line that cannot be exported")
    )
    assert f"nets.py:{number + 1} in forward" in line
    assert untouched(place)


@pytest.mark.parametrize(
    ("name", "reason"), [("linear", "1: model output"), ("fixed", "conv: fails when smaller")]
)
def test_nothing_prunable_says_why(name, reason, place, capsys):
    line = complaint(capsys, command(model=f"nets.py:{name}", weights=f"{name}.safetensors"), USAGE)
    assert "nothing in the network can be pruned" in line
    assert reason in line
    assert untouched(place)


def test_an_unreachable_budget_names_the_least_that_can_be_reached(place, capsys):
    line = complaint(capsys, command(budget="0.001flops"), INFEASIBLE)
    reachable = line.rsplit("at least ", 1)[1].rstrip(")")
    assert untouched(place)
    assert main(command(budget=reachable, finetune_epochs="0")) == 0


@pytest.mark.parametrize("budget", ["0.000001ms", "0.001latency", "1flops,0.001latency"])
def test_a_latency_that_the_device_cannot_reach_names_the_least_it_can(budget, place, capsys):
    line = complaint(capsys, command(budget=budget), INFEASIBLE)
    assert "cannot go below" in line and "ms, 0" in line
    assert f"ask for at least 0.{line.rsplit('at least 0.', 1)[1]}" in line
    assert untouched(place)


def test_units_that_come_in_a_thousand(place, capsys):
    assert "1 of the dense" in complaint(capsys, command(align="1000"), INFEASIBLE)
    assert untouched(place)
    assert main(command("--json", align="1000", budget="1flops", finetune_epochs="0")) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["recovered"]["macs"] == result["base"]["macs"]
    assert result["plan"] == {"conv1": 8, "conv2": 8}


def test_code_that_refuses_some_widths_is_named(place, capsys):
    line = complaint(capsys, command(model="nets.py:sometimes_raises", evaluations="30"), FAILED)
    assert "an even number of twos, please" in line
    assert "--align" in line
    assert read_journal(place / "run" / "evaluations.jsonl") is not None


def test_plans_that_score_nan_are_marked_and_the_search_goes_on(place, capsys):
    arguments = command("--json", model="nets.py:sometimes_nan", evaluations="12")
    assert main(arguments) == 0
    result = json.loads(capsys.readouterr().out)
    records = read_journal(place / "run" / "evaluations.jsonl")
    assert len(records) == result["evaluations"] > 3
    for record in records:
        assert record["failed"] == (record["plan"]["conv1"] in (5, 6))
        assert math.isfinite(record["score"])
        assert math.isfinite(record["loss"])
    assert {record["failed"] for record in records} == {False, True}
    assert result["plan"]["conv1"] not in (5, 6)


def test_training_that_falls_apart_still_ends_in_a_network(place, capsys):
    reckless = Tuning(finetuning=FitConfig(learning_rate=1e30))
    search = Command(SearchConfig, partial(run_search, tuning=reckless), result_view)
    assert main(command("--json", finetune_epochs="3"), [search]) == 0
    result = json.loads(capsys.readouterr().out)
    assert any("fine-tuning stopped early" in text for text in result["warnings"])
    for value in autoprune.load("run").state_dict().values():
        assert value.isfinite().all()
