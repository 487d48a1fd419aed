import subprocess
import sys

import pytest
from filelock import FileLock

from autoprune.errors import LockedError, UsageError
from autoprune.pipeline.config import SearchConfig
from autoprune.runs.lock import hold_lock, refuse_foreign_files
from autoprune.runs.run import Run
from tests import owncode

CONFIG = SearchConfig(budget="0.5flops")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "logs" / "deep" / "run"


def test_a_claim_holds_before_there_is_a_run_and_goes_over_to_it(path):
    with hold_lock(path):
        for _ in range(2):
            with pytest.raises(LockedError, match="another process is writing"), hold_lock(path):
                pass
        with Run(path, CONFIG):
            with pytest.raises(LockedError):
                Run(path, CONFIG)
        Run(path, CONFIG).close()  # whoever closed it let go of it
    with hold_lock(path):
        pass


def test_where_no_run_comes_of_it_nothing_is_left(path, tmp_path):
    with pytest.raises(UsageError), hold_lock(path):
        assert (path.parent / ".run.lock").exists()
        raise UsageError("no such network")
    assert list(tmp_path.iterdir()) == []


def test_what_others_put_there_meanwhile_stays(path):
    with hold_lock(path):
        (path.parent / "notes").write_text("mine")
    assert [item.name for item in path.parent.iterdir()] == ["notes"]


def test_the_lock_of_a_run_stays_where_it_is(path):
    Run(path, CONFIG).close()
    with pytest.raises(UsageError), hold_lock(path):
        raise UsageError("no such network")
    with FileLock(path.parent / ".run.lock", timeout=0), pytest.raises(LockedError):
        Run(path, CONFIG)


def test_strangers_are_refused_before_a_lock_lies_beside_them(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "one.tex").write_text("mine")
    with pytest.raises(UsageError, match=r"one\.tex"), hold_lock(tmp_path / "thesis"):
        pass
    with pytest.raises(UsageError, match="is a file"):
        refuse_foreign_files(tmp_path / "thesis" / "one.tex")
    assert [item.name for item in tmp_path.iterdir()] == ["thesis"]


def test_a_command_has_its_lock_before_it_loads_anything(tmp_path, monkeypatch):
    owncode.write(tmp_path)
    (tmp_path / "slow.py").write_text(
        "def loaders():\n    print('loading', flush=True)\n    input()\n    raise SystemExit\n"
    )
    monkeypatch.chdir(tmp_path)
    command = "search --budget 0.5flops --model nets.py:build --weights build.safetensors"
    holder = subprocess.Popen(
        [sys.executable, "-m", "autoprune", *command.split(), "--data", "slow.py:loaders"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with holder:
        assert holder.stderr.readline() == "loading\n"
        (lock,) = (tmp_path / "logs").iterdir()
        with pytest.raises(LockedError), hold_lock(lock.with_name(lock.name[1:-5])):
            pass
        holder.communicate("\n")
    assert not (tmp_path / "logs").exists()
