from collections import Counter

import pytest

from autoprune.cli.commands import COMMANDS, Lazy


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.config.command)
def test_every_row_names_functions_that_exist(command):
    for function in (command.run, command.view, command.read):
        if isinstance(function, Lazy):
            assert callable(function.load())
    for name in command.view_also:
        assert hasattr(command.config, name)


def test_every_command_has_one_row():
    assert set(Counter(command.config.command for command in COMMANDS).values()) == {1}
