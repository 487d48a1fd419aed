"""What the documentation tells people to type is understood as written."""

import re
import shlex
from pathlib import Path

import pytest

from autoprune.cli.commands import COMMANDS
from autoprune.cli.parse import parse

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands(page):
    for block in re.findall(r"^```\w*\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE):
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
