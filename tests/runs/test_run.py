"""Run directories: begun, continued, refused, killed."""

import json
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from autoprune.commands.inspect.config import InspectConfig
from autoprune.errors import AutopruneError, DamagedError, LockedError, UsageError
from autoprune.foundation import files
from autoprune.foundation.files import pretty
from autoprune.networks.save import write_tensors
from autoprune.pipeline.config import SearchConfig
from autoprune.runs.artifacts import Artifacts
from autoprune.runs.run import Run, current_environment
from tests.finished_run import CONFIG, finished_run
from tests.full_disk import room_for


class Killed(BaseException):
    """Stands for the end of the process: nothing handles it."""


def test_a_new_run_says_what_was_asked_and_in_what_environment(path):
    with Run(path, CONFIG) as run:
        assert (run.resumed, run.finished, run.bit_exact, run.warnings) == (False, False, True, [])
    saved = json.loads((path / "config.json").read_text())
    assert saved["format"] == 1
    assert SearchConfig.from_json(saved["config"]) == CONFIG
    assert saved["environment"]["threads"] == torch.get_num_threads()
    assert saved["environment"]["versions"]["torch"] == torch.__version__


def test_the_same_configuration_continues_with_what_is_known(path):
    finished_run(path)
    with Run(path, CONFIG) as run:
        assert run.resumed
        assert run.finished
        assert run.journal.records == [{"plan": {"conv1": 3}, "score": 0.5}]
        run.expect(data="d1")


def test_reopening_a_run_changes_no_byte(path):
    before = {item.name: item.read_bytes() for item in finished_run(path).iterdir()}
    Run(path, CONFIG).close()
    assert {item.name: item.read_bytes() for item in path.iterdir()} == before


def test_another_configuration_is_refused_naming_the_field(path):
    finished_run(path)
    with pytest.raises(UsageError, match=r"has budget='0.5flops', not '0.4flops'"):
        Run(path, SearchConfig(budget="0.4flops"))
    with pytest.raises(UsageError, match="holds a run of search, not of inspect"):
        Run(path, InspectConfig())
    with Run(path, CONFIG) as run, pytest.raises(UsageError, match="the weights changed"):
        run.expect(data="d1", weights="w2")


def test_fresh_keeps_every_old_run_aside(path):
    for number in range(3):
        with Run(path, CONFIG, fresh=True) as run:
            assert not run.resumed
            run.journal.append({"number": number})
    kept = {
        item.name: (item / "evaluations.jsonl").read_text() for item in path.parent.glob("run*")
    }
    assert sorted(kept) == ["run", "run.old-1", "run.old-2"]
    assert '"number":0' in kept["run.old-1"]
    assert '"number":1' in kept["run.old-2"]


def test_a_directory_of_somebody_else_is_left_alone(path):
    path.mkdir()
    (path / "thesis.tex").write_text("mine")
    with pytest.raises(UsageError, match=r"thesis\.tex"):
        Run(path, CONFIG)
    assert [item.name for item in path.iterdir()] == ["thesis.tex"]


def test_another_environment_is_said_and_remembered(path):
    finished_run(path)
    torch.set_num_threads(2)
    try:
        with Run(path, CONFIG) as run:
            assert not run.bit_exact
            (warning,) = run.warnings
            assert warning.startswith("this run began with threads 1 instead of 2: ")
    finally:
        torch.set_num_threads(1)
    with Run(path, CONFIG) as run:
        assert not run.bit_exact


def test_another_state_of_the_code_is_another_environment(path):
    finished_run(path)
    changed = {**current_environment(), "code": "another"}
    with Run(path, CONFIG, environment=changed) as run:
        assert "code" in run.warnings[0] and "instead of another" in run.warnings[0]
        assert not run.bit_exact


def test_a_journal_that_was_cut_after_the_end_is_noticed(path):
    with Run(finished_run(path), CONFIG) as run:
        run.journal.append({"plan": {"conv1": 2}, "score": 0.4})
        assert run.damaged == []
    journal = path / "evaluations.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(lines[:-1]))
    with Run(path, CONFIG) as run:
        assert run.damaged == []  # what came after the result was never promised
    journal.write_text(lines[0])
    with Run(path, CONFIG) as run:
        assert run.damaged == ["evaluations.jsonl"]


def test_one_writer_at_a_time_and_readers_always(path):
    with Run(finished_run(path), CONFIG):
        for fresh in (False, True):
            with pytest.raises(LockedError, match="another process is writing"):
                Run(path, CONFIG, fresh=fresh)
        assert Artifacts(path).json("result.json") == {"score": 0.5}
    Run(path, CONFIG).close()


def test_a_refused_run_does_not_stay_locked(path):
    finished_run(path)
    with pytest.raises(UsageError):
        Run(path, SearchConfig(budget="0.4flops"))
    Run(path, CONFIG).close()


def test_the_lock_of_a_killed_process_is_free_at_once(path):
    code = (
        "import sys, time; from pathlib import Path; from autoprune.runs.run import Run;"
        "from autoprune.pipeline.config import SearchConfig;"
        "run = Run(Path(sys.argv[1]), SearchConfig(budget='0.5flops'));"
        "print('open', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"},
    )
    with holder:
        assert holder.stdout.readline() == b"open\n"
        with pytest.raises(LockedError):
            Run(path, CONFIG)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        with Run(path, CONFIG) as run:
            assert run.resumed


def test_a_kill_before_any_step_of_publishing_leaves_the_old_content_or_the_new(path, monkeypatch):
    finished_run(path)
    seen = set()
    for deadline in range(20):
        steps = iter(range(20))

        def step(real, *arguments, _steps=steps, _deadline=deadline, **options):
            if next(_steps) == _deadline:
                raise Killed
            return real(*arguments, **options)

        with monkeypatch.context() as patch, Run(path, CONFIG) as run:
            for owner, name in ((files.os, "fsync"), (Path, "replace"), (Path, "unlink")):
                real = getattr(owner, name)
                patch.setattr(owner, name, lambda *a, _r=real, _s=step, **o: _s(_r, *a, **o))
            try:
                run.publish_json("plan.json", {"conv1": 100 + deadline})
                break
            except Killed:
                pass
        content = Artifacts(path).json("plan.json")
        seen.add(content == {"conv1": 100 + deadline})
        with Run(path, CONFIG) as run:
            run.publish_json("plan.json", {"conv1": 3})
        assert Artifacts(path).json("plan.json") == {"conv1": 3}
        assert not list(path.glob(".tmp-*"))
    assert deadline >= 5
    assert seen == {False, True}


def test_a_kill_before_the_run_is_described_begins_it_anew(path):
    finished_run(path)
    for name in ("config.json", "evaluations.jsonl", "plan.json", "model.safetensors"):
        (path / name).unlink()
    (path / "result.json").rename(path / ".tmp-result.json")
    with Run(path, CONFIG) as run:
        assert not run.resumed


def test_a_full_disk_is_named_whatever_is_written(path):
    finished_run(path)
    with Run(path, CONFIG) as run:
        tensors = partial(write_tensors, tensors={"w": torch.zeros(1000)})
        with (
            room_for(1000),
            pytest.raises(AutopruneError, match=r"cannot write .*model.*too large"),
        ):
            run.publish("model.safetensors", tensors)
        assert torch.equal(
            load_file(run.artifacts.file("model.safetensors"))["w"], torch.arange(9.0)
        )
        with room_for(1000), pytest.raises(AutopruneError, match=r"cannot write .*events"):
            with run.events() as events:
                for step in range(1000):
                    events.add_scalar("reward", 0.5, step)
        assert not list(path.glob(".tmp-*"))


def test_results_that_are_no_numbers_are_not_published(path):
    with Run(path, CONFIG) as run, pytest.raises(ValueError, match="JSON"):
        run.publish_json("result.json", {"score": float("nan")})


def test_a_moved_copied_or_renamed_run_is_still_one(path, tmp_path):
    finished_run(path).rename(tmp_path / "ünï code")
    with Run(tmp_path / "ünï code", CONFIG) as run:
        assert run.finished
    Artifacts(tmp_path / "ünï code").copy(tmp_path / "deep" / "copy")
    with Run(tmp_path / "deep" / "copy", CONFIG) as run:
        assert run.finished
        assert run.journal.records == []  # the journal is no artifact
    with pytest.raises(UsageError, match="not empty"):
        Artifacts(tmp_path / "deep" / "copy").copy(tmp_path / "deep")


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(AutopruneError, match=r"cannot write .*file"):
        Run(tmp_path / "file" / "run", CONFIG)


@pytest.mark.parametrize("part", ["format", "command", "config", "environment", "facts"])
def test_a_description_that_lacks_a_part_is_refused(path, part):
    finished_run(path)
    described = json.loads((path / "config.json").read_text())
    del described[part]
    Artifacts(path).publish("config.json", files.text_writer(pretty(described)))
    with pytest.raises(AutopruneError):
        Run(path, CONFIG)


def test_the_journal_of_another_run_is_refused_and_stays(path, tmp_path):
    with Run(finished_run(path), CONFIG):
        pass
    with Run(tmp_path / "other", CONFIG) as other:
        other.expect(data="d1", weights="w2")
        other.journal.append({"plan": {"conv1": 3}, "score": 0.9})
    swapped = (tmp_path / "other" / "evaluations.jsonl").read_bytes()
    (path / "evaluations.jsonl").write_bytes(swapped)
    with pytest.raises(DamagedError, match=r"evaluations\.jsonl is the journal of another run"):
        Run(path, CONFIG)
    assert (path / "evaluations.jsonl").read_bytes() == swapped
    with Run(path, CONFIG, fresh=True) as run:
        assert run.journal.records == []


def test_the_same_run_elsewhere_has_the_same_journal(path, tmp_path):
    for place in (path, tmp_path / "again"):
        finished_run(place)
    journals = {(place / "evaluations.jsonl").read_bytes() for place in (path, tmp_path / "again")}
    assert len(journals) == 1


def test_a_run_from_before_journals_had_owners_goes_on(path):
    with Run(path, CONFIG) as run:
        run.expect(data="d1")
    described = json.loads((path / "config.json").read_text())
    del described["journal"]
    Artifacts(path).publish("config.json", files.text_writer(pretty(described)))
    (path / "evaluations.jsonl").unlink()
    for number in (1, 2):
        with Run(path, CONFIG) as run:
            run.journal.append({"number": number})
    with Run(path, CONFIG) as run:
        assert run.journal.records == [{"number": 1}, {"number": 2}]
        assert run.journal.run is None
