import json
import shutil
from pathlib import Path

import pytest

from autoprune.cli.main import main
from autoprune.foundation.files import text_writer
from autoprune.pipeline.config import SearchConfig
from autoprune.runs.artifacts import Artifacts
from autoprune.runs.run import Run

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
