"""Command line: ``autoprune COMMAND --option value``.

The commands are listed in :mod:`autoprune.cli.commands`. The result goes to standard output (a
table, or one JSON object with ``--json``, errors included), progress and errors to standard error.

Exit codes: 0 ok, 1 failed, 2 usage, 3 infeasible budget, 4 damaged or incompatible file, 5 locked,
130 interrupted.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final

from rich.console import Console

import autoprune
from autoprune.cli.commands import COMMANDS, Answer, Command
from autoprune.cli.parse import parse
from autoprune.errors import AutopruneError
from autoprune.foundation.config import Config
from autoprune.foundation.files import canonical
from autoprune.foundation.progress import shown_by
from autoprune.foundation.signals import INTERRUPTED, Interrupts, interruptible
from autoprune.foundation.terminal import Terminal
from autoprune.runs.lock import hold_lock

_NARROWEST: Final = 60
_FAILED: Final = 1
_PIPE_CLOSED: Final = 141


def main(argv: Sequence[str] | None = None, commands: Sequence[Command] = COMMANDS) -> int:
    """Run one command; return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a box character must not kill a result
    try:
        with interruptible() as interrupts:
            code = _main(arguments, commands, interrupts)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # The reader closed the pipe. Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _PIPE_CLOSED


def _main(arguments: list[str], commands: Sequence[Command], interrupts: Interrupts) -> int:
    """Run one command; turn any exception into an exit code and one line of error."""
    as_json, debug = "--json" in arguments, "--debug" in arguments
    config: Config | None = None
    try:
        if arguments == ["--version"]:
            print(f"autoprune {autoprune.__version__}")
            return 0
        try:
            config = parse(arguments, [command.config for command in commands])
        except SystemExit:  # help was asked for and printed
            return 0
        command = next(command for command in commands if command.config is type(config))
        answer = _carry_out(command, config, debug)
        if as_json:
            print(canonical(answer.data))
        else:
            # Narrower than this a table loses its words; the terminal may wrap its lines instead.
            Console(width=max(_NARROWEST, Console().width)).print(answer.view())
        return answer.exit_code
    except BrokenPipeError:
        raise
    except (Exception, KeyboardInterrupt, SystemExit) as error:
        if debug:
            traceback.print_exc()
        failure = _interrupted(config) if interrupts.came else _failure(error, config)
        failure.show(as_json)
        return failure.exit_code


@dataclass(frozen=True)
class Failure:
    """Reason why a command failed, a hint what to do next, and the exit code."""

    error: str
    hint: str
    exit_code: int

    def show(self, as_json: bool) -> None:
        """Print one line on standard error and, ``as_json``, one object on standard output."""
        if as_json:
            print(canonical(asdict(self)))
        hint = f" ({self.hint})" if self.hint else ""
        print(f"autoprune: error: {self.error}{hint}", file=sys.stderr)


def _interrupted(config: Config | None) -> Failure:
    run = config.directory if config else None
    hint = f"what was done is in {run}; the same command goes on from there"
    return Failure("interrupted", hint if run and run.exists() else "", INTERRUPTED)


def _failure(error: BaseException, config: Config | None) -> Failure:
    if isinstance(error, AutopruneError):
        return Failure(str(error.args[0]), error.hint, error.exit_code)
    if isinstance(error, KeyboardInterrupt):
        return _interrupted(config)
    if isinstance(error, OSError) and error.strerror:
        return Failure(f"{error.strerror}: {error.filename}", "", _FAILED)
    reason = " ".join(f"{type(error).__name__}: {error}".split())
    return Failure(f"internal error: {reason:.300}", "rerun with --debug to see where", _FAILED)


def _carry_out(command: Command, config: Config, debug: bool) -> Answer:
    """Run a command with the lock on its run directory, if it has one, and with progress shown."""
    # What the user's own code prints is no result: --json promises one object on standard output.
    with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
        if not debug:
            warnings.simplefilter("ignore")  # other libraries'; ours are part of the result
        lock = hold_lock(config.directory) if config.directory else contextlib.nullcontext()
        progress = Terminal(Console(stderr=True))
        with lock, shown_by(progress.phase):
            return command(config, progress)
