"""A list of runs: finished, under way, damaged and of strangers."""

import json
import os

from autoprune.cli.main import main
from autoprune.pipeline.config import SearchConfig
from autoprune.runs.run import Run


def begun(path, when, **changes):
    config = SearchConfig(**{"budget": "0.5flops", "run": str(path), **changes})
    with Run(path, config) as run:
        run.journal.append({"score": 0.5})
    os.utime(path / "config.json", (when, when))


def ended(path, when, result, **changes):
    begun(path, when, **changes)
    (path / "result.json").write_text(json.dumps(result))
    os.utime(path / "result.json", (when, when))


def listed(capsys, place):
    code = main(["list", "--json", "--in", str(place)])
    return code, json.loads(capsys.readouterr().out)


def test_runs_are_listed_the_latest_first_with_what_came_of_them(tmp_path, capsys):
    pruned = {"base": {"macs": 400, "accuracy": 0.9}, "recovered": {"macs": 100, "accuracy": 0.875}}
    ended(tmp_path / "old", 1000, pruned)
    begun(tmp_path / "new", 3000, budget="0.3flops", agent="dp")
    ended(tmp_path / "trained", 2000, {"accuracy": 0.5})
    (tmp_path / "notes").mkdir()
    (tmp_path / "file").write_text("no run")
    code, found = listed(capsys, tmp_path)
    assert code == 0
    new, trained, old = found["runs"]
    assert [run["run"] for run in (new, trained, old)] == [
        str(tmp_path / name) for name in ("new", "trained", "old")
    ]
    assert (new["state"], new["score"], new["macs_left"]) == ("unfinished", None, None)
    assert new["asked"] == "digits-resnet digits 0.3flops dp" and new["command"] == "search"
    assert (trained["state"], trained["score"], trained["macs_left"]) == ("finished", 0.5, None)
    assert (old["score"], old["macs_left"]) == (0.875, 0.25)
    assert main(["list", "--in", str(tmp_path)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "finished)" in shown and "87.50 %" in shown and "25.0 %" in shown


def test_what_cannot_be_read_is_listed_as_damaged(tmp_path, capsys):
    for number, text in enumerate(("{", "[]", '{"config": 7}', '{"config": {}, "command": 1}')):
        (tmp_path / f"run{number}").mkdir()
        (tmp_path / f"run{number}" / "config.json").write_text(text)
    ended(tmp_path / "cut", 1000, {"recovered": {"accuracy": "high"}})
    os.mkfifo(tmp_path / "run0" / "result.json")
    begun(tmp_path / "endless", 1000)
    (tmp_path / "endless" / "result.json").symlink_to("/dev/zero")
    (tmp_path / "loop").symlink_to("loop")
    code, found = listed(capsys, tmp_path)
    assert code == 0
    states = {run["run"].rsplit("/")[-1]: run["state"] for run in found["runs"]}
    assert states.pop("run3") == "unfinished"
    assert set(states.values()) == {"damaged"} and len(states) == 5


def test_an_empty_directory_and_none_are_said(tmp_path, capsys):
    assert listed(capsys, tmp_path) == (0, {"in": str(tmp_path), "runs": []})
    assert main(["list", "--in", str(tmp_path)]) == 0
    assert "no run" in capsys.readouterr().out
    code, failure = listed(capsys, tmp_path / "nowhere")
    assert code == 2 and "no directory" in failure["error"] and "logs/" in failure["hint"]
