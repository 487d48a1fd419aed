"""The command line: ``autoprune COMMAND --option value``.

A command is a configuration dataclass and a function, joined in ``COMMANDS``. torch is imported by
the functions only, so that help and usage errors are instant. The result goes to standard output (a
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
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console

import autoprune
from autoprune.config import Config, ExportConfig, InspectConfig, ProfileConfig, SearchConfig
from autoprune.errors import AutopruneError
from autoprune.files import canonical
from autoprune.lottery.config import TicketConfig
from autoprune.progress import Progress, Terminal
from autoprune.usage import parse

if TYPE_CHECKING:
    from rich.console import RenderableType

_NARROWEST: Final = 60
_FAILED: Final = 1
_INTERRUPTED: Final = 130
_PIPE_CLOSED: Final = 141


@dataclass(frozen=True)
class Answer:
    """What a command found: as JSON, and as something to look at."""

    data: dict[str, Any]
    view: Callable[[], RenderableType]


@dataclass(frozen=True)
class Command:
    """A configuration and the function that carries it out."""

    config: type[Config]
    run: Callable[[Any, Progress], Answer]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a box character must not kill a result
    try:
        code = _main(arguments)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # Whoever read us has seen enough. Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _PIPE_CLOSED


def _main(arguments: list[str]) -> int:
    """Turn whatever happens into an exit code and, if it is bad, one line."""
    as_json, debug = "--json" in arguments, "--debug" in arguments
    config: Config | None = None
    try:
        if arguments == ["--version"]:
            print(f"autoprune {autoprune.__version__}")
            return 0
        try:
            config = parse(arguments, [command.config for command in COMMANDS])
        except SystemExit:  # help was asked for and printed
            return 0
        answer = _answer(config, debug)
        if as_json:
            print(canonical(answer.data))
        else:
            # Narrower than this a table loses its words; the terminal may wrap its lines instead.
            Console(width=max(_NARROWEST, Console().width)).print(answer.view())
        return 0
    except BrokenPipeError:
        raise
    except (Exception, KeyboardInterrupt, SystemExit) as error:
        if debug:
            traceback.print_exc()
        failure = _failure(error, config)
        failure.show(as_json)
        return failure.exit_code


@dataclass(frozen=True)
class Failure:
    """Why a command did not end well, and what to do next."""

    error: str
    hint: str
    exit_code: int

    def show(self, as_json: bool) -> None:
        """Say it in one line on standard error, and with ``as_json`` as an object on the other."""
        if as_json:
            print(canonical(asdict(self)))
        hint = f" ({self.hint})" if self.hint else ""
        print(f"autoprune: error: {self.error}{hint}", file=sys.stderr)


def _failure(error: BaseException, config: Config | None) -> Failure:
    if isinstance(error, AutopruneError):
        return Failure(str(error.args[0]), error.hint, error.exit_code)
    if isinstance(error, KeyboardInterrupt):
        return Failure("interrupted", _how_to_go_on(config), _INTERRUPTED)
    if isinstance(error, OSError) and error.strerror:
        return Failure(f"{error.strerror}: {error.filename}", "", _FAILED)
    reason = " ".join(f"{type(error).__name__}: {error}".split())
    return Failure(f"internal error: {reason:.300}", "rerun with --debug to see where", _FAILED)


def _answer(config: Config, debug: bool) -> Answer:
    run = next(command.run for command in COMMANDS if command.config is type(config))
    # What the user's own code prints is no result: --json promises one object on standard output.
    with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
        if not debug:
            warnings.simplefilter("ignore")  # other libraries'; ours are part of the result
        return run(config, Terminal(Console(stderr=True)))


def _search(config: SearchConfig, progress: Progress) -> Answer:
    from autoprune.pipeline import run_search
    from autoprune.report import result_view

    result = run_search(config, progress)
    return Answer(result.to_json(), lambda: result_view(result))


def _inspect(config: InspectConfig, progress: Progress) -> Answer:
    from autoprune.analysis import analyze
    from autoprune.data import load_data
    from autoprune.models import load_weights, resolve_model
    from autoprune.report import inspect_json, inspect_view
    from autoprune.task import resolve_task

    with progress.phase("inspect", 1) as phase:
        task = resolve_task(config.task)
        data = load_data(config.data)
        model = resolve_model(str(config.model), data)
        if config.weights is not None:
            load_weights(model, config.weights)
        facts = inspect_json(analyze(model, data.example(task)))
        phase.advance()
    facts = {"model": config.model, "data": config.data, **facts}
    return Answer(facts, lambda: inspect_view(str(config.model), facts))


def _profile(config: ProfileConfig, progress: Progress) -> Answer:
    from autoprune.profiling import run_profile
    from autoprune.report import profile_view

    found = run_profile(config, progress)
    facts = {"model": config.model, "data": config.data, **found.to_json()}
    return Answer(facts, lambda: profile_view(str(config.model), facts))


def _export(config: ExportConfig, progress: Progress) -> Answer:
    from autoprune.export import run_export
    from autoprune.report import export_view

    facts = run_export(config, progress).to_json()
    return Answer(facts, lambda: export_view(facts))


def _ticket(config: TicketConfig, progress: Progress) -> Answer:
    from autoprune.lottery.command import run_ticket
    from autoprune.lottery.view import tickets_view

    result = run_ticket(config, progress)
    return Answer(result, lambda: tickets_view(result))


def _how_to_go_on(config: Config | None) -> str:
    if isinstance(config, (SearchConfig, TicketConfig)) and config.directory.exists():
        return f"what was done is in {config.directory}; the same command goes on from there"
    return ""


COMMANDS: Final = (
    Command(SearchConfig, _search),
    Command(InspectConfig, _inspect),
    Command(TicketConfig, _ticket),
    Command(ProfileConfig, _profile),
    Command(ExportConfig, _export),
)
