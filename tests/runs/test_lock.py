"""Ownership of a run directory."""

import os
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


def test_links_of_any_kind_lead_to_one_lock(tmp_path):
    disk = tmp_path / "disk"
    Run(disk / "run", CONFIG).close()
    (tmp_path / "link").symlink_to("disk/run")
    (tmp_path / "mount").symlink_to("disk")
    ways = [tmp_path / "link", tmp_path / "mount" / "run", tmp_path / "mount/../disk/run"]
    for holder in ways:
        with Run(holder, CONFIG):
            for other in (*ways, disk / "run"):
                with pytest.raises(LockedError):
                    Run(other, CONFIG, fresh=True)
                with pytest.raises(LockedError), hold_lock(other):
                    pass


def test_a_fresh_run_through_a_link_stays_where_the_link_leads_and_stays_locked(tmp_path):
    Run(tmp_path / "disk", CONFIG).close()
    (tmp_path / "link").symlink_to("disk")
    with hold_lock(tmp_path / "link"), Run(tmp_path / "link", CONFIG, fresh=True) as run:
        assert not run.resumed
        for way in ("link", "disk"):
            with pytest.raises(LockedError):
                Run(tmp_path / way, CONFIG)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "disk" / "config.json").exists()
    assert (tmp_path / "disk.old-1" / "config.json").exists()


def test_a_link_that_is_turned_elsewhere_takes_no_run_along(tmp_path):
    for name in ("one", "two"):
        Run(tmp_path / name, CONFIG).close()
    (tmp_path / "link").symlink_to("one")
    with Run(tmp_path / "link", CONFIG) as run:
        (tmp_path / "link").unlink()
        (tmp_path / "link").symlink_to("two")
        run.publish_json("plan.json", {})
        Run(tmp_path / "link", CONFIG).close()
    assert (tmp_path / "one" / "plan.json").exists()
    assert not (tmp_path / "two" / "plan.json").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="directories cannot be locked there")
def test_the_directory_itself_is_locked_by_whatever_name_it_has(tmp_path):
    """As through a second mount, whose lock file lies elsewhere."""
    import fcntl

    Run(tmp_path / "run", CONFIG).close()
    handle = os.open(tmp_path / "run", os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    with pytest.raises(LockedError):
        Run(tmp_path / "run", CONFIG)
    os.close(handle)
    with Run(tmp_path / "run", CONFIG, fresh=True):
        handle = os.open(tmp_path / "run", os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(handle)


def test_a_link_to_nowhere_is_refused_and_nothing_is_left(tmp_path):
    (tmp_path / "link").symlink_to("nowhere")
    for opening in (lambda: Run(tmp_path / "link", CONFIG), hold_lock(tmp_path / "link").__enter__):
        with pytest.raises(UsageError, match=r"link to .*nowhere, which does not exist"):
            opening()
    assert [item.name for item in tmp_path.iterdir()] == ["link"]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_a_fork_does_not_release_the_lock_of_its_parent(tmp_path):
    with Run(tmp_path / "run", CONFIG) as run:
        child = os.fork()
        if child == 0:
            try:
                run.close()
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        with pytest.raises(LockedError):
            Run(tmp_path / "run", CONFIG)
