"""Run directories in use, of somebody else, of another command, or finished."""

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from safetensors.torch import load_file

from autoprune.cli.main import main
from autoprune.pipeline import stages
from autoprune.runs.journal import read_journal
from tests import owncode
from tests.complaints import (
    DAMAGED,
    FAILED,
    INTERRUPTED,
    LOCKED,
    USAGE,
    command,
    complaint,
    contents,
)


def test_a_run_directory_that_is_a_file(place, capsys):
    before = (place / "nets.py").read_bytes()
    for extra in ((), ("--fresh",)):
        line = complaint(capsys, command(*extra, run="nets.py"), USAGE)
        assert "nets.py is a file" in line
    complaint(capsys, command(run="nets.py/run"), FAILED)
    assert (place / "nets.py").read_bytes() == before
    assert not (place / ".nets.py.lock").exists()


def test_a_directory_of_somebody_else_is_neither_used_nor_moved(place, capsys):
    (place / "home").mkdir()
    (place / "home" / "thesis.tex").write_text("mine")
    for extra in ((), ("--fresh",)):
        assert "thesis.tex" in complaint(capsys, command(*extra, run="home"), USAGE)
    assert [item.name for item in (place / "home").iterdir()] == ["thesis.tex"]
    assert not list(place.glob("*home.*"))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write")
def test_a_place_that_cannot_be_written(place, capsys):
    (place / "locked").mkdir(mode=0o555)
    assert "cannot write" in complaint(capsys, command(run="locked/run"), FAILED)


def test_a_run_of_another_configuration(run, capsys):
    before = contents(run)
    line = complaint(capsys, command(budget="0.4flops"), USAGE)
    assert "budget='0.5flops', not '0.4flops'" in line
    shutil.copy("wide.safetensors", "build.safetensors")
    complaint(capsys, command(), DAMAGED)
    owncode.write(Path())
    weights = load_file("build.safetensors")
    weights["head.bias"] += 1
    torch.save(weights, "other.pt")
    assert "weights" in complaint(capsys, command(weights="other.pt"), USAGE)
    assert contents(run) == before


def test_another_writer(run, capsys):
    before = contents(run)
    code = (
        "import sys; from filelock import FileLock; lock = FileLock('.run.lock'); lock.acquire();"
        "print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with holder:
        assert holder.stdout.readline() == b"held\n"
        for extra in ((), ("--fresh",)):
            assert "another process" in complaint(capsys, command(*extra), LOCKED)
        holder.stdin.close()
    assert contents(run) == before
    assert main(command()) == 0


def test_the_same_command_again_shows_the_result_and_changes_nothing(run, capsys):
    before = contents(run)
    assert main(command("--json")) == 0
    out, err = capsys.readouterr()
    assert "is finished" in err
    assert "search" not in err
    stored = {**json.loads(before["result.json"]), "run": "run"}
    assert json.loads(out) == stored
    assert contents(run) == before


def test_fresh_keeps_the_old_run(run):
    before = contents(run)
    assert main(command("--fresh")) == 0
    assert contents(run.with_name("run.old-1")) == before
    assert (run / "plan.json").read_bytes() == before["plan.json"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_search_ends_as_an_unbroken_one(
    number, finished, place, monkeypatch, capsys
):
    real, calls = stages.Evaluator.race, itertools.count(1)

    def interrupted(self, entry):
        if next(calls) == 3:
            os.kill(os.getpid(), number)
        return real(self, entry)

    with monkeypatch.context() as patch:
        patch.setattr(stages.Evaluator, "race", interrupted)
        line = complaint(capsys, command(), INTERRUPTED)
    assert "the same command goes on from there" in line
    assert len(read_journal(place / "run" / "evaluations.jsonl")) == 2
    assert main(command()) == 0
    for name in ("plan.json", "evaluations.jsonl", "model.safetensors", "masks.safetensors"):
        unbroken = finished / "run" / name
        assert (place / "run" / name).read_bytes() == unbroken.read_bytes(), name


def test_the_lock_is_free_after_every_end(run, capsys):
    for arguments in (command(), command(budget="0.4flops"), command(data="mydata.py:empty")):
        main(arguments)
        with FileLock(".run.lock", timeout=0):
            pass
