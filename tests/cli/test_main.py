import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from filelock import FileLock

import autoprune
from autoprune import errors
from autoprune.cli.commands import COMMANDS, Command
from autoprune.cli.main import main
from autoprune.commands.inspect.config import InspectConfig

ROOT = Path(__file__).resolve().parents[2]


NAMES = [command.config.command for command in COMMANDS]


def environment(**changes: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **changes}


def python(code: str, *arguments: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *arguments],
        capture_output=True,
        text=True,
        env=environment(),
        **options,
    )


@pytest.mark.parametrize(
    "arguments", [[], ["--help"], ["--version"], *([name, "--help"] for name in NAMES)]
)
def test_help_needs_no_torch(arguments):
    code = (
        "import sys; from autoprune.cli.main import main; code = main(sys.argv[1:]);"
        "late = {'torch', 'numpy', 'sklearn', 'gymnasium', 'jinja2', 'matplotlib'};"
        "heavy = late & set(sys.modules);"
        "sys.exit(code or (f'imported {heavy}' if heavy else 0))"
    )
    done = python(code, *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert "autoprune" in done.stdout


def test_a_run_that_is_being_written_is_refused_before_any_work(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    code = (
        "import sys; from autoprune.cli.main import main; code = main(sys.argv[1:]);"
        "sys.exit(f'exit {code}, torch: {\"torch\" in sys.modules}')"
    )
    arguments = ("search", "--budget", "0.5flops", "--run", str(run))
    with FileLock(tmp_path / ".run.lock"):
        done = python(code, *arguments)
    assert done.stderr.startswith(f"autoprune: error: another process is writing to {run}")
    assert done.stderr.endswith("exit 5, torch: False\n")
    assert list(run.iterdir()) == []


def test_importing_the_package_imports_neither_torch_nor_commands():
    code = "import autoprune, sys; print('torch' in sys.modules, autoprune.__version__)"
    assert python(code).stdout.startswith("False ")


def test_public_names_are_there_and_listed():
    for name in autoprune.__all__:
        assert getattr(autoprune, name) is not None
    assert set(autoprune.__all__) <= set(dir(autoprune))
    with pytest.raises(AttributeError, match="no attribute 'serach'"):
        _ = autoprune.serach


def test_search_stays_the_function_whatever_is_imported_first():
    code = (
        "import autoprune.pipeline.search, autoprune; from autoprune.pipeline.search import search;"
        "assert autoprune.search is search and callable(search)"
    )
    done = python(code)
    assert (done.returncode, done.stderr) == (0, "")


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"autoprune {autoprune.__version__}\n"


@dataclass(frozen=True, kw_only=True)
class Trial(InspectConfig):
    """A command that ends as it is told."""

    command = "trial"


def trial(outcome):
    """The table with a command that ends in ``outcome``."""

    def run(config, progress):
        progress.note("working")
        return outcome()

    return (*COMMANDS, Command(Trial, run, lambda result: "a table"))


def raises(error):
    def outcome():
        raise error

    return outcome


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (errors.AutopruneError("it failed"), 1, "it failed"),
        (errors.UsageError("what?", "say it so"), 2, "what? (say it so)"),
        (
            errors.InfeasibleError("too small", "at least 0.1flops"),
            3,
            "too small (at least 0.1flops)",
        ),
        (errors.DamagedError("x.json is damaged"), 4, "x.json is damaged"),
        (errors.LockedError("in use"), 5, "in use"),
    ],
)
def test_every_end_has_its_line_and_code(error, code, line, capsys):
    commands = trial(raises(error))
    assert main(["trial"], commands) == code
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"working\nautoprune: error: {line}\n")
    assert main(["trial", "--json"], commands) == code
    answer = json.loads(capsys.readouterr().out)
    assert answer["exit_code"] == code
    assert line.startswith(answer["error"])


def test_a_signal_interrupts(capsys):
    assert main(["trial"], trial(lambda: os.kill(os.getpid(), signal.SIGINT))) == 130
    assert capsys.readouterr().err == "working\nautoprune: error: interrupted\n"


@pytest.mark.parametrize(
    ("code", "line"),
    [
        ("1 / 0", "internal error: ZeroDivisionError: division by zero (rerun with --debug"),
        ("raise OSError(28, 'No space left on device', '/x')", "No space left on device: /x"),
        ("raise SystemExit", "the code of the model, the data or the task raised SystemExit:"),
    ],
)
def test_errors_that_no_file_of_the_users_raised(code, line, capsys):
    def run(config, progress):
        raise AssertionError

    run.__code__ = compile(f"def run(config, progress): {code}", "<ours>", "exec").co_consts[0]
    assert main(["trial"], (*COMMANDS, Command(Trial, run, str))) == 1
    assert capsys.readouterr().err.startswith(f"autoprune: error: {line}")


@pytest.mark.parametrize(
    "error",
    [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")],
    ids=["python", "torch"],
)
def test_memory_that_runs_out_is_said(error, capsys):
    assert main(["trial", "--json"], trial(raises(error))) == 1
    assert json.loads(capsys.readouterr().out)["error"] == "memory ran out"


def test_tracebacks_are_for_debugging(capsys):
    commands = trial(raises(errors.UsageError("what?")))
    assert main(["trial", "--debug"], commands) == 2
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert err.endswith("autoprune: error: what?\n")


def test_a_result_is_a_table_or_one_object(capsys):
    commands = trial(lambda: {"größe": [1, 2.5]})
    assert main(["trial"], commands) == 0
    assert capsys.readouterr() == ("a table\n", "working\n")
    assert main(["trial", "--json"], commands) == 0
    out, _ = capsys.readouterr()
    assert out == '{"größe":[1,2.5]}\n'


def test_a_reader_that_leaves_early_gets_no_complaint():
    code = "import sys; from autoprune.cli.main import main; sys.exit(main(['search', '--help']))"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 141
    process.stderr.close()


def test_a_terminal_without_unicode_gets_its_result():
    code = "import sys; from autoprune.cli.main import main; sys.exit(main(['search', '--help']))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        env=environment(PYTHONIOENCODING="ascii", NO_COLOR="1", COLUMNS="20"),
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"--budget" in done.stdout
