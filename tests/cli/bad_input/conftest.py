"""A user's files and a finished run, for all tests of bad input."""

import shutil
from pathlib import Path

import pytest

from autoprune.cli.main import main
from tests import owncode
from tests.complaints import command


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """Return a directory with a user's files and a finished run, not to be written to."""
    path = tmp_path_factory.mktemp("finished")
    owncode.write(path)
    owncode.nan_weights(path)
    home = tmp_path_factory.getbasetemp() / "home"  # that of every test, not yet set here
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(home / "state"))
        patch.chdir(path)
        assert main(command()) == 0
    return path


@pytest.fixture(autouse=True)
def place(finished, tmp_path, monkeypatch):
    """Work in a directory with a user's files and no run."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True, ignore=lambda *_: ["run", ".run.lock"])
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(finished, place):
    """Return a copy of the finished run of the ``GOOD`` command."""
    return Path(shutil.copytree(finished / "run", place / "run"))
