import json
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from autoprune.cli.main import main
from autoprune.commands.report.plot import status_figure
from autoprune.commands.report.status import read_status
from autoprune.foundation.files import text_writer
from autoprune.pipeline.config import SearchConfig
from autoprune.pipeline.result import Result
from autoprune.runs.artifacts import Artifacts
from autoprune.runs.run import Run
from tests.showing import assert_explains_itself

ASKED = "--budget 0.5flops --agent random --evaluations 4 --finetune-epochs 1 --no-baseline"


def report(capsys, *arguments):
    code = main(["report", "--json", *map(str, arguments)])
    return code, json.loads(capsys.readouterr().out)


def contents(path):
    return {item.name: item.read_bytes() for item in path.iterdir()}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "run"
    assert main(["search", "--json", *ASKED.split(), "--run", str(path)]) == 0
    return path


def test_a_finished_run_is_shown_as_its_command_showed_it(finished, capsys):
    before = contents(finished)
    assert main(["search", *ASKED.split(), "--run", str(finished)]) == 0
    shown = capsys.readouterr().out
    assert main(["report", "--run", str(finished)]) == 0
    assert capsys.readouterr().out == shown
    code, facts = report(capsys, "--run", finished)
    assert code == 0
    assert facts["result"] == json.loads((finished / "result.json").read_text())
    assert facts["finished"]
    assert contents(finished).keys() == before.keys()


def test_a_run_under_way_says_how_far_it_is_although_locked(tmp_path, capsys):
    config = SearchConfig(budget="0.5flops", evaluations=9, run=str(tmp_path / "run"))
    with Run(config.directory, config) as run:
        for score in (0.25, 0.75, 0.5):
            run.journal.append({"plan": {"conv1": int(100 * score)}, "score": score})
        before = contents(run.path)
        code, facts = report(capsys, "--run", run.path)
        assert (code, facts["finished"], facts["records"]) == (0, False, 3)
        assert facts["best"] == {"plan": {"conv1": 75}, "score": 0.75}
        assert main(["report", "--run", str(run.path)]) == 0
        assert "3 of 9 evaluations" in capsys.readouterr().out
        assert contents(run.path) == before


def test_the_plot_of_a_run_is_the_same_each_time(finished, tmp_path, capsys):
    for name in ("one.svg", "two.svg"):
        assert report(capsys, "--run", finished, "--plot", tmp_path / name)[0] == 0
    drawn = (tmp_path / "one.svg").read_text()
    assert drawn == (tmp_path / "two.svg").read_text()
    for group in json.loads((finished / "result.json").read_text())["plan"]:
        assert group in drawn
    assert_explains_itself(status_figure(read_status(finished)))


def test_what_cannot_be_shown_is_refused_in_one_line(finished, tmp_path, capsys):
    code, failure = report(capsys, "--run", tmp_path)
    assert (code, failure["exit_code"]) == (2, 2)
    assert "not a run" in failure["error"]
    assert report(capsys, "--run", finished, "--plot", tmp_path / "plot.xyz")[0] == 2
    config = SearchConfig(budget="0.5flops", run=str(tmp_path / "empty"))
    Run(config.directory, config).close()
    code, failure = report(capsys, "--run", tmp_path / "empty", "--plot", tmp_path / "plot.png")
    assert code == 2
    assert "no evaluations" in failure["error"]


@pytest.mark.parametrize(
    ("name", "changes"),
    [("config.json", {"command": None, "config": 7}), ("result.json", {"plan": {"a": "b"}})],
)
def test_a_run_of_a_stranger_with_other_shapes_is_refused(
    finished, tmp_path, capsys, name, changes
):
    copy = Path(shutil.copytree(finished, tmp_path / "copy"))
    data = {**json.loads((copy / name).read_text()), **changes}
    Artifacts(copy).publish(name, text_writer(json.dumps(data)))
    code, facts = report(capsys, "--run", copy)
    assert code == 4
    assert "internal error" not in facts["error"]


def spoiled(finished, tmp_path, name):
    return Path(shutil.copytree(finished, tmp_path / "copy")) / name


def sealed(path, data):
    Artifacts(path.parent).publish(path.name, text_writer(json.dumps(data)))


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such files")
@pytest.mark.parametrize("kind", ["pipe", "device", "endless", "directory", "dangling"])
@pytest.mark.parametrize("name", ["manifest.json", "evaluations.jsonl", "result.json", "plan.json"])
def test_what_is_no_regular_file_is_refused_and_not_read(finished, tmp_path, capsys, name, kind):
    path = spoiled(finished, tmp_path, name)
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    else:
        target = {"device": "/dev/tty", "endless": "/dev/zero", "dangling": "nowhere"}[kind]
        path.symlink_to(target)
    code, failure = report(capsys, "--run", path.parent)
    assert code == 4
    assert name in failure["error"]
    assert failure["hint"]


@pytest.mark.parametrize("keep", [slice(0, -1), slice(0, 1), slice(0, 0)])
def test_a_journal_that_was_cut_is_noticed(finished, tmp_path, capsys, keep):
    path = spoiled(finished, tmp_path, "evaluations.jsonl")
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[keep]))
    code, failure = report(capsys, "--run", path.parent)
    assert code == 4
    assert "evaluations.jsonl was cut" in failure["error"]


@pytest.mark.parametrize("name", ["evaluations.jsonl", "plan.json", "model.safetensors"])
def test_files_of_another_run_are_noticed(finished, tmp_path, capsys, name):
    other = tmp_path / "other"
    asked = ASKED.replace("0.5flops", "0.6flops")
    assert main(["search", "--json", *asked.split(), "--run", str(other)]) == 0
    capsys.readouterr()
    path = spoiled(finished, tmp_path, name)
    shutil.copy(other / name, path)
    code, failure = report(capsys, "--run", path.parent)
    assert code == 4
    assert name in failure["error"]


def test_a_journal_that_was_deleted_is_missed_in_a_run_and_not_in_what_was_saved(
    finished, tmp_path, capsys
):
    path = spoiled(finished, tmp_path, "evaluations.jsonl")
    path.unlink()
    code, failure = report(capsys, "--run", path.parent)
    assert code == 4
    assert "evaluations.jsonl was cut: it has 0 of 4 records" in failure["error"]
    result = Result.from_json(json.loads((finished / "result.json").read_text()))
    replace(result, run=finished).save(tmp_path / "saved")
    assert not (tmp_path / "saved" / "evaluations.jsonl").exists()
    code, facts = report(capsys, "--run", tmp_path / "saved")
    assert (code, facts["finished"], facts["records"]) == (0, True, 0)


def test_a_killed_publication_is_no_damage(finished, tmp_path, capsys):
    path = spoiled(finished, tmp_path, "evaluations.jsonl")
    (path.parent / "result.json").rename(path.parent / ".tmp-result.json")
    code, facts = report(capsys, "--run", path.parent)
    assert (code, facts["finished"]) == (0, False)


def test_a_file_that_claims_to_be_huge_is_not_hashed(finished, tmp_path, capsys):
    path = spoiled(finished, tmp_path, "model.safetensors")
    with path.open("r+b") as stream:
        stream.truncate(2**40)
    assert report(capsys, "--run", path.parent)[0] == 4


def test_a_stranger_cannot_write_to_the_terminal(finished, tmp_path, capsys):
    path = spoiled(finished, tmp_path, "result.json")
    data = json.loads(path.read_text())
    sealed(path, {**data, "model": "\x1b]0;mine\x07\x1b[2J", "task": "[link=x]y[/nothing]"})
    code = main(["report", "--run", str(path.parent)])
    out, err = capsys.readouterr()
    assert code in (0, 4)
    assert not {"\x1b", "\x07"} & set(out + err)
    assert "Traceback" not in err


@pytest.mark.parametrize("sizes", [{"size": 0}, {"size": 2**70, "kept": -1}, {"macs": 1e308}])
@pytest.mark.parametrize("plot", [False, True])
def test_absurd_numbers_of_a_stranger_are_no_error_of_ours(finished, tmp_path, capsys, sizes, plot):
    path = spoiled(finished, tmp_path, "result.json")
    data = json.loads(path.read_text())
    groups = [{**group, **sizes} for group in data["groups"]]
    sealed(path, {**data, "groups": groups})
    code = main(
        [
            "report",
            "--run",
            str(path.parent),
            *(["--plot", str(tmp_path / "p.svg")] if plot else []),
        ]
    )
    assert code in (0, 4)
    assert "internal error" not in capsys.readouterr().err
