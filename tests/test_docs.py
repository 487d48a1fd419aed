"""What the documentation tells people to type is understood as written."""

import ast
import importlib
import re
import shlex
import tomllib
from pathlib import Path

import pytest

import autoprune
import autoprune.testing
from autoprune.cli.commands import COMMANDS
from autoprune.cli.parse import parse
from tests import rooms

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PROSE = [*PAGES, *sorted(ROOT.glob("[AC-QS-Z]*.md")), ROOT / "benchmarks" / "README.md"]
FOLDERS = "autoprune|envs|agents|benchmarks|tests"
URL = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Homepage"]


def commands(page):
    for block in re.findall(r"^```[^\n]*\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line.removeprefix("$ "), comments=True)
            if words[:1] == ["autoprune"] and "..." not in words:
                yield words[1:]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_line_of_a_page_parses(page):
    for words in commands(page):
        if words != ["--version"]:
            config = parse(words, [command.config for command in COMMANDS])
            assert config.command == words[0]


def test_every_command_has_a_page_that_shows_it():
    shown = {words[0] for page in PAGES for words in commands(page)}
    assert shown >= {command.config.command for command in COMMANDS}


def links(page):
    """Targets of a page's links and pictures, with the file each of ours points to."""
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        name, _, anchor = target.partition("#")
        inside = re.match(rf"{URL}/(?:blob|raw)/main/(.+)", name)
        if inside:
            yield target, ROOT / inside[1], anchor
        elif not name.startswith("https://"):
            yield target, (page.parent / name if name else page), anchor


def anchors(page):
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PROSE, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page):
    for target, path, anchor in links(page):
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), target


def test_the_readme_is_short_and_its_links_work_outside_the_repository():
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 110
    assert all(target.startswith(URL) for target in re.findall(r"\]\(([^)\s]+)\)", text))


@pytest.mark.parametrize("page", PROSE, ids=lambda page: page.name)
def test_every_file_and_module_that_a_page_names_exists(page):
    text = page.read_text()
    for name in re.findall(rf"`(?:python )?((?:{FOLDERS})/[a-z0-9_/.-]+)[` ]", text):
        assert (ROOT / name).exists(), name
    for name in re.findall(r"\bautoprune((?:\.[a-z_]+)+)", text):
        parts = name[1:].split(".")
        if (ROOT / "autoprune" / parts[0]).is_dir() and len(parts) > 1:
            path = ROOT.joinpath("autoprune", *parts[:2])
            assert path.is_dir() or path.with_suffix(".py").exists(), name


def test_the_rooms_on_the_page_are_those_of_the_code():
    listed = re.findall(r"^\| `(\w+)` \|", (ROOT / "ARCHITECTURE.md").read_text(), re.MULTILINE)
    assert tuple(listed) == rooms.ROOMS


def test_every_benchmark_is_listed():
    text = (ROOT / "benchmarks" / "README.md").read_text()
    listed = set(re.findall(r"^\| `(\w+\.py)` \|", text, re.MULTILINE))
    assert listed == {path.name for path in (ROOT / "benchmarks").glob("*.py")}


def test_every_page_is_on_the_site():
    nav = (ROOT / "mkdocs.yml").read_text().partition("\nnav:")[2]
    assert sorted(re.findall(r"(\S+\.md)$", nav, re.MULTILINE)) == sorted(
        path.name for path in (ROOT / "docs").glob("*.md")
    )


def test_every_public_name_is_in_the_reference_and_everything_in_it_exists():
    text = (ROOT / "docs" / "reference.md").read_text()
    named = re.findall(r"^::: (\S+)$", text, re.MULTILINE)
    assert {f"autoprune.{name}" for name in autoprune.__all__} <= set(named)
    last = {name.rpartition(".")[2] for name in named if name.startswith("autoprune.testing.")}
    assert last == set(autoprune.testing.__all__)
    for name in named:
        path, _, last = name.rpartition(".")
        if not path.startswith("autoprune.integrations"):
            assert hasattr(importlib.import_module(path), last), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_of_python_is_python(page):
    for code in re.findall(r"^```python[^\n]*\n(.*?)^```", page.read_text(), re.DOTALL | re.M):
        ast.parse(code)
