"""Standard streams that are closed, full, left by their reader, or written to by others."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from autoprune.cli.main import main
from tests.cli import test_main
from tests.cli.test_main import environment, raises, trial

if sys.platform == "win32":
    pytest.skip("the shell that closes streams is POSIX", allow_module_level=True)

ROOT = Path(__file__).resolve().parents[2]

LOUD = """
import os, sys
from autoprune.cli.commands import COMMANDS, Command
from autoprune.cli.main import main
from tests.cli import test_main
from tests.cli.test_main import Trial

def forked():
    if os.fork():
        os.wait()
    return {"one": 1}

def at_descriptor():
    os.write(1, b"descriptor")
    os.system("echo child")
    print("original", file=sys.__stdout__)
    print("plain")
    return {"one": 1}

def run(config, progress):
    progress.note("working")
    return {"forked": forked, "loud": at_descriptor, "quiet": lambda: {"one": 1}}[sys.argv[2]]()

code = main(sys.argv[3:], (*COMMANDS, Command(Trial, run, lambda result: "a table")))
print("done", code, file=open(sys.argv[1], "w"))
sys.exit(code)
"""


def shell(what, place, streams, *arguments):
    """Run a trial with redirected streams; return its end, and what it noted at its end."""
    (place / "loud.py").write_text(LOUD)
    words = " ".join(("trial", *arguments) if what != "version" else ("--version",))
    noted = place / "noted"
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} loud.py {noted} {what} {words} {streams}"],
        cwd=place,
        capture_output=True,
        text=True,
        env=environment(),
    )
    assert "Traceback" not in done.stderr + done.stdout
    return done, noted.read_text().split() if noted.exists() else None


@pytest.mark.parametrize("json_too", [(), ("--json",)])
@pytest.mark.parametrize(
    ("streams", "reason"), [(">&-", "it is closed"), (">/dev/full", "no space left on device")]
)
def test_a_result_that_cannot_be_written_costs_one_line(tmp_path, streams, reason, json_too):
    done, noted = shell("quiet", tmp_path, streams, *json_too)
    assert (done.returncode, done.stdout, noted) == (1, "", ["done", "1"])
    assert done.stderr == (
        f"working\nautoprune: error: cannot write the result to standard output: {reason}\n"
    )


def test_without_standard_output_the_version_is_refused_in_a_line(tmp_path):
    done, _ = shell("version", tmp_path, ">&-")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("view", [(), ("--json",)])
def test_a_reader_that_is_gone_ends_a_command_with_141(tmp_path, view):
    done, noted = shell("quiet", tmp_path, "| (exec <&-; sleep 1); exit ${PIPESTATUS[0]}", *view)
    assert (done.returncode, done.stderr, noted) == (141, "working\n", ["done", "141"])


@pytest.mark.parametrize("streams", ["2>&-", "2>/dev/full", "2> >(exec <&-)", "0<&- 2>&-"])
def test_work_goes_on_where_nobody_hears_of_it(tmp_path, streams):
    done, noted = shell("loud", tmp_path, streams, "--json")
    assert (done.returncode, done.stdout, noted) == (0, '{"one":1}\n', ["done", "0"])


def test_an_error_that_nobody_hears_of_stays_out_of_the_result(tmp_path):
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m autoprune report --run nosuch --json 2>&-"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=environment(),
    )
    assert done.returncode == json.loads(done.stdout)["exit_code"] == 2


@pytest.mark.parametrize("what", ["loud", "forked"])
def test_one_object_whatever_else_is_written(tmp_path, what):
    done, noted = shell(what, tmp_path, "", "--json")
    assert (done.returncode, done.stdout, noted) == (0, '{"one":1}\n', ["done", "0"])
    if what == "loud":
        for word in ("descriptor", "child", "original", "plain"):
            assert word in done.stderr


@pytest.mark.parametrize("json_too", [(), ("--json",)])
@pytest.mark.parametrize(
    "kind",
    [ValueError, SystemExit, KeyboardInterrupt, GeneratorExit, type("Mine", (BaseException,), {})],
)
def test_whatever_user_code_raises_is_one_line(capsys, kind, json_too):
    assert main(["trial", *json_too], trial(raises(kind("oh")))) == 1
    out, err = capsys.readouterr()
    assert f"raised {kind.__name__}: oh in {test_main.__file__}:" in err
    assert "internal error" not in err
    assert bool(out) == bool(json_too)
    assert not json_too or json.loads(out)["exit_code"] == 1


def test_a_broken_pipe_of_user_code_is_an_error_of_theirs(capsys):
    assert main(["trial"], trial(raises(BrokenPipeError(32, "Broken pipe")))) == 1
    assert "Broken pipe" in capsys.readouterr().err


def test_no_control_character_reaches_the_terminal(capsys):
    evil = "\x1b]0;mine\x07\x1b[2J\x9b31m\u202egpj"
    assert main(["trial"], trial(raises(OSError(evil)))) == 1
    assert main(["trial", "--json"], trial(lambda: {"name": evil})) == 0
    out, err = capsys.readouterr()
    for shown in (out, err):
        assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(shown)
    assert json.loads(out) == {"name": evil}


def test_a_deleted_working_directory_is_said(tmp_path):
    (tmp_path / "gone").mkdir()
    code = (
        "import os, sys; from autoprune.cli.main import main; os.chdir(sys.argv[1]);"
        "os.rmdir(sys.argv[1]); sys.exit(main(['search', '--budget', '0.5flops']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "gone")],
        capture_output=True,
        text=True,
        env=environment(),
    )
    assert done.returncode == 2
    assert done.stderr.startswith("autoprune: error: the working directory was deleted (")


def test_words_that_are_no_text_are_refused(capsys):
    word = os.fsdecode(b"x\xff")
    for arguments in (["report", "--run", word], ["search", "--budget", "0.5flops", "--run", word]):
        assert main(arguments) == 2
        assert "is not text in the encoding" in capsys.readouterr().err


def test_a_command_that_is_misspelt_is_guessed(capsys):
    assert main(["serach", "--budget", "0.5flops"]) == 2
    assert "no command 'serach' (did you mean search" in capsys.readouterr().err
