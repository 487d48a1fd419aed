"""What the source may contain: one-way imports, no code from files, no printing in the library."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# A module imports only what stands before it.
ORDER = """
    errors waiting signals files schema artefacts claim journal events factories trust
    soundness structure plan module_sizes slicing analysis energy cost limits budget ctc task
    data execution workers batches zoo models checks packing saving ranking pruning
    granularity problem heuristics folding latency recalibration reconstruction racing
    evaluate envs agents training checkpoint scoring recover config subject run progress result
    trained policy_result curves report charts standing fitting session recipes source trainer
    phases finals exploration delivery pipeline schedule applying teaching export profiling
    lottery comparison comparing comparison_view doctor bench commands usage cli __main__
""".split()
# The public face names what is far below it, and only when asked.
FACE = "__init__"
MAY_PRINT = {"cli"}
MAY_IMPORT_BY_NAME = {"__init__", "factories", "models", "agents", "doctor"}
MAY_SEND_PICKLES = {"workers"}  # through pipes to processes of its own, never to a file
MAY_LOAD_CHECKPOINTS = {"models"}
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


def unit(path: Path) -> str:
    """Name the module, or the package directly below autoprune, that a file belongs to."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[1] if parts[0] == "autoprune" else parts[0]


def label(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield (line, dotted name) of everything imported at run time."""
    for node in runtime_nodes(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import"
            for alias in node.names:
                yield node.lineno, f"{node.module}.{alias.name}"


def runtime_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Walk a tree, leaving out what only type checkers run."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)):
            yield from runtime_nodes(child)


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
    name = unit(path)
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
                yield f"{where} outside autoprune.models"
            if options.get("weights_only") != "True":
                yield f"{where} without weights_only=True"


@pytest.mark.parametrize("path", sources(), ids=label)
def test_modules_import_only_what_stands_before_them(path):
    name = unit(path)
    assert name in {*ORDER, FACE}, f"{name} has no place in the order of this test: give it one"
    for line, target in imports(ast.parse(path.read_text())):
        package, _, rest = target.partition(".")
        assert package not in ("envs", "agents"), f"line {line}: import autoprune.{package}"
        below = rest.split(".")[0]
        if package != "autoprune" or name == FACE or below in (name, "__version__"):
            continue
        if name in ("cli", "usage") and not rest:
            continue
        assert below in ORDER, f"line {line}: {target}"
        assert ORDER.index(below) < ORDER.index(name), f"line {line}: {name} imports {below}"


@pytest.mark.parametrize("path", sources(), ids=label)
def test_nothing_runs_code_from_files_talks_to_the_network_or_prints(path):
    tree = ast.parse(path.read_text())
    banned = [
        f"line {line}: {target}"
        for line, target in imports(tree)
        if target.split(".")[0] in BANNED_MODULES
        or (target.startswith("multiprocessing") and unit(path) not in MAY_SEND_PICKLES)
    ]
    assert [*banned, *complaints(path)] == []


@pytest.mark.parametrize("path", sources(), ids=label)
def test_files_fit_a_few_screens_and_functions_one(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < 50, f"line {node.lineno}: {node.name}"


def test_every_module_in_the_order_exists_once():
    found = {unit(path) for path in sources()}
    assert len(set(ORDER)) == len(ORDER)
    assert set(ORDER) - found == set(), "the order names modules that are gone"


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
