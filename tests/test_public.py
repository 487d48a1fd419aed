"""The public functions: defaults of the command line, every argument explained, short ways in."""

import inspect
import re
import subprocess
import sys
import tomllib
from dataclasses import MISSING, fields
from pathlib import Path

import pytest

import autoprune
from autoprune.commands.apply.config import ApplyConfig
from autoprune.commands.compare.config import CompareConfig
from autoprune.commands.export.config import ExportConfig
from autoprune.commands.match.config import MatchConfig
from autoprune.commands.ticket.config import TicketConfig
from autoprune.commands.train.config import TrainConfig
from autoprune.errors import UsageError
from autoprune.pipeline.config import SearchConfig

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = {
    "search": SearchConfig,
    "pose": SearchConfig,
    "family": SearchConfig,
    "match": MatchConfig,
    "apply": ApplyConfig,
    "train": TrainConfig,
    "compare": CompareConfig,
    "export": ExportConfig,
    "ticket": TicketConfig,
}
OWN = {"workers", "budget"}  # one process and half the FLOPs from Python, as the pages say


@pytest.mark.parametrize("name", CONFIGS)
def test_defaults_are_those_of_the_command_line(name):
    own = fields(CONFIGS[name])
    defaults = {one.name: one.default for one in own if one.default is not MISSING}
    asked = inspect.signature(getattr(autoprune, name)).parameters
    shared = (asked.keys() & defaults.keys()) - OWN
    assert shared
    for option in shared:
        given = asked[option].default
        assert given in (defaults[option], inspect.Parameter.empty), option


@pytest.mark.parametrize("name", [*CONFIGS, "rank", "prune", "mask", "analyze", "prune_optimizer"])
def test_every_argument_is_explained(name):
    function = getattr(autoprune, name)
    explained = set(re.findall(r"``(\w+)``", function.__doc__))
    skipped = {"model", "structure", "plan", "optimizer"}  # what they are is in their types
    assert set(inspect.signature(function).parameters) - skipped <= explained


@pytest.mark.parametrize("name", ["train", "compare", "export", "ticket", "family", "match"])
def test_further_options_are_those_of_the_command(name):
    text = getattr(autoprune, name).__doc__
    listed = re.findall(r"``(\w+)``", text[text.index("``options``") :].partition("\n\n")[0])
    assert {*listed} - {"options"} <= {one.name for one in fields(CONFIGS[name])}
    several = {"model": "digits-resnet", "data": "digits", "budgets": ["0.5flops"]}
    needed = {"export": {"run": "x", "to": "pt2"}, "family": several, "match": {"run": "x"}}.get(
        name, {}
    )
    command = CONFIGS[name].command
    with pytest.raises(UsageError, match=rf"{command} has no option 'dta'.*did you mean data"):
        getattr(autoprune, name)(**needed, dta="digits")
    with pytest.raises(UsageError, match="has no option 'json'"):
        getattr(autoprune, name)(**needed, json=True)


def test_a_network_is_trained_and_exported(tmp_path):
    trained = autoprune.train(steps=3, run=tmp_path / "run", progress=False)
    written = autoprune.export(trained.run, "pt2", output=tmp_path / "net.pt2", progress=False)
    assert written.path == tmp_path / "net.pt2" and written.path.is_file()


def test_all_public_names_are_there_and_nothing_waits_for_torch():
    code = "import autoprune, sys; assert 'torch' not in sys.modules; dir(autoprune)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
    assert all(callable(getattr(autoprune, name)) for name in {*autoprune.__all__} - {"errors"})
    assert sorted(autoprune.__all__) == autoprune.__all__


def test_every_extra_that_is_named_exists():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    folders = ("autoprune", "docs", "examples", "tests")
    pages = [ROOT / "README.md", *(p for folder in folders for p in (ROOT / folder).rglob("*.*"))]
    named = {
        extra
        for page in pages
        if page.suffix in (".py", ".md", ".toml")
        for group in re.findall(r"autoprune\[([a-z,]+)\]", page.read_text())
        for extra in group.split(",")
    }
    assert {"data", "onnx", "trainers", "optuna"} <= named <= extras.keys()
