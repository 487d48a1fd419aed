"""Parser of the command line: tyro builds it from the configurations; errors take one line."""

from __future__ import annotations

import contextlib
import difflib
import io
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Final

import tyro

from autoprune.errors import UsageError
from autoprune.foundation.config import Config
from autoprune.foundation.schema import OUTSIDE

_DESCRIPTION: Final = (
    "Prune PyTorch networks with a reinforcement-learning agent, exactly on a budget.\n\n"
    "Start with:  autoprune search --budget 0.5flops\n"
    "autoprune COMMAND --help lists the options of a command, autoprune --version the version."
)
_RULE: Final = re.compile(r"^[─-]+$")
_HELP_INDENT: Final = " " * 8


def parse(arguments: Sequence[str], configs: Iterable[type[Config]]) -> Config:
    """Read a command line into the configuration of the command it names.

    Prints help and raises SystemExit(0) when asked for it. Raises UsageError for anything that is
    not understood, with what was probably meant.
    """
    configs = list(configs)
    _check_words(arguments, [config.command for config in configs])
    for config in configs:
        _list_run_options_last(config)
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            parsed: Config = tyro.extras.subcommand_cli_from_dict(
                {config.command: config for config in configs},
                prog="autoprune",
                description=_DESCRIPTION,
                args=arguments or ["--help"],
                config=(tyro.conf.FlagCreatePairsOff,),
            )
    except SystemExit as stop:
        if not stop.code:
            raise
        raise _usage_error(complaint.getvalue()) from None
    for option_field in fields(parsed):
        value = getattr(parsed, option_field.name)
        if isinstance(value, float) and not math.isfinite(value):
            option = option_field.name.replace("_", "-")
            raise UsageError(f"--{option} must be a number, not {value}", "as in 0.1")
    return parsed


def _check_words(arguments: Sequence[str], commands: Sequence[str]) -> None:
    """Raise UsageError for bytes that are no text, and for a command that there is not."""
    for word in arguments:
        if word != word.encode("utf-8", "replace").decode():
            shown = word.encode("utf-8", "surrogateescape" if _escaped(word) else "replace")
            raise UsageError(
                f"{shown!r} is not text in the encoding of this system",
                "use a UTF-8 locale, or PYTHONUTF8=1, and names in UTF-8",
            )
    if arguments and not arguments[0].startswith("-") and arguments[0] not in commands:
        close = difflib.get_close_matches(arguments[0], commands, n=1)
        hint = f"did you mean {close[0]}?" if close else f"choose from {', '.join(commands)}"
        raise UsageError(f"there is no command {arguments[0]!r}", hint)


def _escaped(word: str) -> bool:
    """Whether the parts of a word that are no text are bytes of the command line."""
    return all("\udc80" <= letter <= "\udcff" for letter in word if "\ud800" <= letter <= "\udfff")


def _list_run_options_last(config: type[Config]) -> None:
    """Move options that no result depends on to the end of the help, whoever declares them."""
    declared = config.__dataclass_fields__
    for name in [name for name, field in declared.items() if field.metadata == OUTSIDE]:
        declared[name] = declared.pop(name)


def _usage_error(box: str) -> UsageError:
    """Return as one line what tyro draws as a box: sections between rules, indented help texts."""
    sections: list[list[str]] = [[]]
    for line in box.splitlines()[1:-1]:
        text = line.strip("│|").rstrip()[1:]
        if _RULE.match(text.strip()):
            sections.append([])
        elif not text.startswith(_HELP_INDENT):
            sections[-1].append(text.strip())
    texts = [" ".join(filter(None, section)) for section in sections]
    problems = [text for text in texts if not text.startswith(("For full", "Perhaps", "Argument"))]
    meant = re.findall(r"--[\w-]+", " ".join(text for text in texts if text.startswith("Perhaps")))
    more = re.search(r"For full helptext.*?(autoprune.*?--help)", " ".join(texts))
    hint = f"see {more[1] if more else 'autoprune --help'}"
    if meant:
        hint = f"did you mean {' or '.join(dict.fromkeys(meant))}?"
    message = "; ".join(filter(None, problems)) or "cannot understand the command line"
    return UsageError(message[0].lower() + message[1:].removesuffix("."), hint)
