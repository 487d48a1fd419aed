"""What the source may contain: one-way imports, no code from files, no printing in the library."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import rooms

ROOT = Path(__file__).resolve().parents[1]
MAY_PRINT = {"autoprune/cli/main.py"}
MAY_IMPORT_BY_NAME = {
    *("autoprune/__init__.py", "autoprune/foundation/lazy.py"),
    *("autoprune/foundation/user_code.py", "autoprune/networks/libraries.py"),
    "autoprune/commands/doctor/run.py",
}
# Through pipes to processes of its own, never to a file.
CONNECTS = ("autoprune/foundation/executors.py", "socket")
MAY_SEND_PICKLES = {
    *("autoprune/networks/workers.py", "autoprune/data/reader.py"),
    # These start a process by pickling a function of ours; what is then sent is JSON.
    *("autoprune/commands/suite/referee.py", "autoprune/commands/suite/seat.py"),
}
MAY_LOAD_CHECKPOINTS = {"autoprune/networks/weights.py"}
BANNED_MODULES = {
    *("pickle", "cloudpickle", "dill", "marshal", "shelve", "joblib"),  # run code when they read
    *("socket", "urllib", "http", "requests", "httpx", "ftplib", "smtplib"),  # talk to strangers
}
BANNED_CALLS = {"eval", "exec", "compile", "__import__", "input", "breakpoint"}
BANNED_PATHS = {
    *("torch.jit.load", "torch.jit.save", "yaml.load", "numpy.save", "np.save", "runpy.run_path"),
    *("builtins.eval", "builtins.exec", "builtins.compile", "builtins.__import__"),
    *("os.system", "os.popen", "torch.save", "torch.hub.load", "numpy.load", "np.load"),
    *("PPO.load", "DDPG.load", "VecNormalize.load", "BaseAlgorithm.load"),
}


def sources() -> list[Path]:
    folders = ("autoprune", "envs", "agents")
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def label(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield (line, dotted name) of everything imported, for type checkers too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import"
            for alias in node.names:
                yield node.lineno, f"{node.module}.{alias.name}"


def aliases(tree: ast.Module) -> dict[str, str]:
    """Return what the names that imports make stand for: ``from os import system as s``."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {item.asname: item.name for item in node.names if item.asname}
        elif isinstance(node, ast.ImportFrom):
            found |= {item.asname or item.name: f"{node.module}.{item.name}" for item in node.names}
    return found


def complaints(path: Path) -> Iterator[str]:
    name = label(path)
    tree = ast.parse(path.read_text())
    meant = aliases(tree)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        first, *rest = ast.unparse(node.func).split(".")
        called = ".".join([meant.get(first, first), *rest])
        options = {word.arg: ast.unparse(word.value) for word in node.keywords}
        where = f"{label(path)}:{node.lineno}: {called}"
        if called in BANNED_CALLS or called in BANNED_PATHS:
            yield where
        if called == "print" and name not in MAY_PRINT:
            yield f"{where} outside the command line"
        written = bool(node.args) and isinstance(node.args[0], ast.Constant)
        if called == "importlib.import_module" and not written and name not in MAY_IMPORT_BY_NAME:
            yield f"{where} of a name that is not written in the source"
        if options.get("shell", "False") != "False":
            yield f"{where} with shell"
        if called == "torch.load":
            if name not in MAY_LOAD_CHECKPOINTS:
                yield f"{where} outside the one place that may"
            if options.get("weights_only") != "True":
                yield f"{where} without weights_only=True"


FILES = {rooms.module(path): path for path in rooms.files()}


@pytest.mark.parametrize("name", FILES)
def test_rooms_import_only_rooms_before_them(name):
    assert rooms.room(name) in (*rooms.ROOMS, *rooms.FACE), f"{name} is in no room"
    for target in rooms.imports(FILES[name]):
        assert rooms.allowed(name, target), f"{name} imports {target}"


def test_no_modules_import_each_other_in_a_circle():
    assert rooms.circles(rooms.graph()) == []


@pytest.mark.parametrize("path", sources(), ids=label)
def test_nothing_runs_code_from_files_talks_to_the_network_or_prints(path):
    tree = ast.parse(path.read_text())
    banned = [
        f"line {line}: {target}"
        for line, target in imports(tree)
        if (target.split(".")[0] in BANNED_MODULES and (label(path), target) != CONNECTS)
        or (target.startswith("multiprocessing") and label(path) not in MAY_SEND_PICKLES)
    ]
    assert [*banned, *complaints(path)] == []


@pytest.mark.parametrize("path", sources(), ids=label)
def test_files_fit_a_few_screens_and_functions_one(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            told = (ast.get_docstring(node, clean=False) or "").count("\n")
            assert node.end_lineno - node.lineno - told < 50, f"line {node.lineno}: {node.name}"


def test_every_room_exists():
    assert {rooms.room(name) for name in FILES} == {*rooms.ROOMS, *rooms.FACE}


def test_the_check_of_rooms_sees_what_it_should(tmp_path):
    for wrong, target in (
        ("autoprune.cost.budget", "autoprune.agents.ddpg"),
        ("autoprune.runs.run", "autoprune.pipeline.config"),
        ("autoprune.commands.apply.run", "autoprune.commands.prune.run"),
    ):
        assert not rooms.allowed(wrong, target)
    assert rooms.allowed("autoprune.commands.apply.run", "autoprune.commands.apply.config")
    assert rooms.circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]


def test_the_checks_see_what_they_should(tmp_path, monkeypatch):
    bad = tmp_path / "autoprune" / "bad.py"
    bad.parent.mkdir()
    bad.write_text(
        "import subprocess, torch\n"
        "eval('1')\n"
        "subprocess.run('ls', shell=True)\n"
        "torch.load('x')\n"
        "print(1)\n"
        "os.system('ls')\n"
        "from os import popen as p\n"
        "p('ls')\n"
        "import numpy as n\n"
        "n.load('x')\n"
        "from importlib import import_module\n"
        "import_module(x)\n"
    )
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    text = "\n".join(complaints(bad))
    for expected in ("eval", "with shell", "weights_only", "outside the command", "os.system"):
        assert expected in text
    for expected in ("os.popen", "numpy.load", "not written in the source"):
        assert expected in text
