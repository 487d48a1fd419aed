"""Command line: ``autoprune COMMAND --option value``.

The commands are listed in :mod:`autoprune.cli.commands`. The result goes to standard output (a
table, or one JSON object with ``--json``, errors included), progress and errors to standard error.

Exit codes: 0 ok, 1 failed, 2 usage, 3 infeasible budget, 4 damaged or incompatible file, 5 locked,
130 interrupted, 141 nobody reads the output.
"""

from __future__ import annotations

import contextlib
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
from autoprune.cli.streams import Output, UnwritableError, separated
from autoprune.errors import AutopruneError, UsageError
from autoprune.foundation.config import Config
from autoprune.foundation.files import canonical
from autoprune.foundation.launch import Launch
from autoprune.foundation.plain import one_line
from autoprune.foundation.progress import shown_by
from autoprune.foundation.signals import INTERRUPTED, Interrupts, interruptible
from autoprune.foundation.terminal import Terminal
from autoprune.foundation.user_code import origin
from autoprune.runs.lock import hold_lock

_FAILED: Final = 1
_PIPE_CLOSED: Final = 141


def main(argv: Sequence[str] | None = None, commands: Sequence[Command] = COMMANDS) -> int:
    """Run one command; return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not Launch.of().leads:
        _fall_silent()
    with interruptible() as interrupts, separated() as output:
        return _main(arguments, commands, interrupts, output)


def _main(
    arguments: list[str], commands: Sequence[Command], interrupts: Interrupts, output: Output
) -> int:
    """Run one command; turn any exception into an exit code and one line of error."""
    as_json, debug = "--json" in arguments, "--debug" in arguments
    config: Config | None = None
    try:
        if arguments == ["--version"]:
            output.write(f"autoprune {autoprune.__version__}\n")
            return 0
        try:
            with contextlib.redirect_stdout(output):
                config = parse(arguments, [command.config for command in commands])
        except SystemExit:  # help was asked for and printed
            return 0
        _check_place()
        command = next(command for command in commands if command.config is type(config))
        Launch.of().check(config.command)
        answer = _carry_out(command, config, debug)
        if as_json:
            output.json(canonical(answer.data))
        else:
            output.show(answer.view())
        return answer.exit_code
    except BaseException as error:  # user code can raise anything
        if isinstance(error, UnwritableError) and error.gone:
            return _PIPE_CLOSED
        if debug:
            traceback.print_exc()
        failure = _interrupted(config) if interrupts.came else _failure(error, config)
        return failure.show(output, as_json and not isinstance(error, UnwritableError))


def _fall_silent() -> None:
    """Print nothing from here on: the process that leads does."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)


def _check_place() -> None:
    """Raise UsageError in a directory that is gone: libraries end the process there."""
    try:
        os.getcwd()
    except OSError:
        raise UsageError(
            "the working directory was deleted", "change to one that exists, then run it again"
        ) from None


@dataclass(frozen=True)
class Failure:
    """Reason why a command failed, a hint what to do next, and the exit code."""

    error: str
    hint: str
    exit_code: int

    def show(self, output: Output, as_json: bool) -> int:
        """Print one line on standard error and, ``as_json``, one object on standard output.

        Returns the exit code.
        """
        hint = f" ({self.hint})" if self.hint else ""
        print(one_line(f"autoprune: error: {self.error}{hint}"), file=sys.stderr)
        output.end_fork()
        if as_json:
            try:
                output.json(canonical(asdict(self)))
            except UnwritableError as error:
                return _PIPE_CLOSED if error.gone else self.exit_code
        return self.exit_code


def _interrupted(config: Config | None) -> Failure:
    run = config.directory if config else None
    hint = f"what was done is in {run}; the same command goes on from there"
    return Failure("interrupted", hint if run and run.exists() else "", INTERRUPTED)


def _failure(error: BaseException, config: Config | None) -> Failure:
    if isinstance(error, AutopruneError):
        return Failure(str(error.args[0]), error.hint, error.exit_code)
    if isinstance(error, UnwritableError):
        return Failure(f"cannot write the result to standard output: {error}", _kept(config), 1)
    if _ran_out_of_memory(error):
        return Failure("memory ran out", "smaller data or batches, fewer --workers", _FAILED)
    reason = f"{' '.join(f'{type(error).__name__}: {error}'.split()):.300}"
    place = origin(error)
    # Only user code raises what is no Exception: Ctrl-C is known by its signal.
    if place is not None or not isinstance(error, Exception):
        where = f" in {place}" if place else ""
        told = f"the code of the model, the data or the task raised {reason}{where}"
        return Failure(told, "rerun with --debug to see how it got there", _FAILED)
    if isinstance(error, OSError) and error.strerror and error.filename:
        return Failure(f"{error.strerror}: {error.filename}", "", _FAILED)
    return Failure(f"internal error: {reason}", "rerun with --debug to see where", _FAILED)


def _ran_out_of_memory(error: BaseException) -> bool:
    """Whether python, numpy, arrow or torch could not get the memory it asked for."""
    names = {kind.__name__ for kind in type(error).__mro__}
    said = isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    return said or bool(names & {"MemoryError", "OutOfMemoryError"})


def _kept(config: Config | None) -> str:
    run = config.directory if config else None
    return f"it is in {run}; the same command shows it" if run and run.exists() else ""


def _carry_out(command: Command, config: Config, debug: bool) -> Answer:
    """Run a command with the lock on its run directory, if it has one, and with progress shown."""
    with warnings.catch_warnings():
        if not debug:
            warnings.simplefilter("ignore")  # other libraries'; ours are part of the result
        held = config.directory if Launch.of().leads else None
        lock = hold_lock(held) if held else contextlib.nullcontext()
        progress = Terminal(Console(stderr=True))
        with lock, shown_by(progress.phase):
            return command(config, progress)
