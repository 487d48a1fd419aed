"""Helpers of the tests of bad input: a good command, and the one line that a bad one gets."""

import itertools

from autoprune.cli.main import main
from autoprune.foundation import user_code

FAILED, USAGE, INFEASIBLE, DAMAGED, LOCKED, INTERRUPTED = 1, 2, 3, 4, 5, 130


GOOD = {
    "--budget": "0.5flops",
    "--model": "nets.py:build",
    "--weights": "build.safetensors",
    "--data": "mydata.py:loaders",
    "--agent": "random",
    "--evaluations": "4",
    "--finetune-epochs": "1",
    "--run": "run",
}


def command(*extra, **changes):
    changes = {f"--{name.replace('_', '-')}": value for name, value in changes.items()}
    options = {name: value for name, value in (GOOD | changes).items() if value is not None}
    return ["search", *itertools.chain(*options.items()), *extra]


def complaint(capsys, arguments, code):
    """Run a command that fails; return its one line, hint included."""
    assert main(arguments) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    *before, line = err.splitlines()
    assert not any(word in err for word in ("internal error", "Warning", "def forward"))
    assert not any(earlier.startswith("autoprune: error") for earlier in before)
    assert line.startswith("autoprune: error: ")
    assert line.endswith(")"), "no next step"
    return line


def untouched(place):
    """Whether neither a run nor the lock of one was begun."""
    return not any((place / name).exists() for name in ("run", ".run.lock", "logs"))


def contents(run):
    return {item.name: item.read_bytes() for item in run.iterdir()}


def damage(path, how):
    whole = path.read_bytes()
    if how == "gone":
        path.unlink()
    elif how == "torn":
        path.write_bytes(whole[: len(whole) // 2])
    else:
        path.write_bytes(whole[:-20] + bytes([whole[-20] ^ 1]) + whole[-19:])


def small():
    return user_code.load("nets.py:build")[0]()


EVIL = """
from pathlib import Path

Path("executed").touch()


def f(**_):
    return None
"""
