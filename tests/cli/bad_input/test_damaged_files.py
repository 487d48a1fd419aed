"""Damaged files of a run and of the cache."""

import json
from pathlib import Path

import pytest
import torch

import autoprune
from autoprune.cli.main import main
from autoprune.cost.latency.cache import Times, machine
from autoprune.errors import DamagedError, UsageError
from tests.complaints import DAMAGED, command, complaint, contents, damage


def test_a_damaged_latency_cache_is_named_once_and_measured_again(place, capsys):
    path = Times(machine(torch.device("cpu"), "torch")).path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('{"format": 1, "on"')
    assert main(command(budget="1latency", agent="uniform", finetune_epochs="0")) == 0
    err = capsys.readouterr().err
    assert err.count("is damaged") == 1 and str(path) in err.replace("\n", "")
    assert json.loads(path.read_text())["times"]


@pytest.mark.parametrize("how", ["flipped", "torn", "gone"])
@pytest.mark.parametrize("name", ["model.json", "model.safetensors", "plan.json", "result.json"])
def test_a_damaged_file_is_never_used_and_made_anew(name, how, run, capsys):
    whole = (run / name).read_bytes()
    damage(run / name, how)
    if name.startswith("model"):
        error = UsageError if (name, how) == ("model.json", "gone") else DamagedError
        with pytest.raises(error):
            autoprune.load("run", trust_code=True)
    assert main(command()) == 0
    if name != "result.json" or how != "gone":  # then it is a run that was not finished
        assert name in capsys.readouterr().err
    again = (run / name).read_bytes()
    if name in ("result.json", "model.json"):  # hold times, or where nets.py lies
        part = "plan" if name == "result.json" else "indices"
        assert json.loads(again)[part] == json.loads(whole)[part]
    else:
        assert again == whole
    autoprune.load("run", trust_code=True)


@pytest.mark.parametrize("name", ["config.json", "manifest.json"])
def test_a_run_that_cannot_say_what_it_is_wants_fresh(name, run, capsys):
    damage(run / name, "flipped")
    before = contents(run)
    line = complaint(capsys, command(), DAMAGED)
    assert name in line
    assert line.endswith("(start over with --fresh; the damaged run is kept beside the new one)")
    assert contents(run) == before
    assert main(command("--fresh")) == 0
    assert contents(run.with_name("run.old-1")) == before


def test_a_torn_last_line_is_cut_and_the_search_goes_on(run):
    before = contents(run)
    journal = run / "evaluations.jsonl"
    for name in ("result.json", "plan.json", "model.json"):
        (run / name).unlink()
    journal.write_bytes(before["evaluations.jsonl"][:-30])
    assert main(command()) == 0
    assert journal.read_bytes() == before["evaluations.jsonl"]
    assert (run / "plan.json").read_bytes() == before["plan.json"]


@pytest.mark.parametrize("how", ["value", "garbage", "removed"])
def test_a_damaged_line_in_the_middle_is_named(how, run, capsys):
    journal = run / "evaluations.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    if how == "value":
        lines[2] = lines[2].replace(b'"failed":false', b'"failed":true')
    elif how == "garbage":
        lines[2] = b"\xff\x00 not json\n"
    else:
        del lines[2]
    journal.write_bytes(b"".join(lines))
    before = contents(run)
    line = complaint(capsys, command(), DAMAGED)
    assert f"line 3 of {Path('run/evaluations.jsonl')}" in line
    assert "--fresh" in line
    assert contents(run) == before
