"""Process of one search: it holds the problem, and asks for every evaluation.

Nothing of a table is in its memory, and no file of the tables may be opened in it: whatever a
searcher learns, it has asked for, and whoever answers counts. Messages are JSON, never pickled.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from autoprune.agents.base import Searcher, let_search
from autoprune.agents.registry import check_searcher
from autoprune.agents.registry import searcher as registered
from autoprune.commands.suite.frozen import FrozenProblem
from autoprune.errors import AutopruneError, UsageError
from autoprune.foundation.files import canonical, parse
from autoprune.foundation.user_code import accepted, blamed, is_factory, load
from autoprune.problem.evaluation import Evaluation
from autoprune.problem.ledger import Ledger, OutOfEvaluations
from autoprune.problem.scorer import Scorer
from autoprune.structure.plan import Plan


def serve(pipe: Connection) -> None:
    """Run one search: read the assignment, search, say how it ended."""
    if hasattr(signal, "SIGINT"):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all, the first one answers
    torch.set_num_threads(1)
    try:
        asked = receive(pipe)
        _silence()
        _guard(pipe, asked["tables"])
        send(pipe, _search(pipe, asked))
    except (EOFError, OSError):  # nobody is there any more
        return


def send(pipe: Connection, message: Any) -> None:
    """Send a message as JSON."""
    pipe.send_bytes(canonical(message).encode())


def receive(pipe: Connection) -> Any:
    """Return the next message; raises EOFError at the end, DamagedError if it is no JSON."""
    return parse(pipe.recv_bytes().decode(errors="replace"), "a message")


def _search(pipe: Connection, asked: Any) -> dict[str, Any]:
    """Return how a search ended: ``ended`` with its own seconds, or ``fails`` with one line."""
    problem = FrozenProblem.from_json(asked["problem"])
    posed = problem.pose(asked["budget"], _Asking(pipe, problem))
    ledger = Ledger(posed, asked["evaluations"])
    try:
        agent = _made(asked["searcher"])
        began = time.process_time()
        let_search(agent, posed, ledger, asked["seed"])
        return {"ended": time.process_time() - began}
    except AutopruneError as error:
        return {"fails": str(error.args[0])}
    except (EOFError, OSError):
        raise
    except BaseException as error:  # whatever a searcher raises
        return {"fails": f"{type(error).__name__}: {error}"}


def _made(name: str) -> Searcher:
    """Make a searcher of a registered name or of ``file.py:Searcher``."""
    if not is_factory(name):
        return registered(name)
    found, _ = load(name)
    with blamed(f"{name} cannot be made"):
        return check_searcher(found(**accepted(found, {})))


class _Asking(Scorer):
    """Scorer that asks the process that holds the table."""

    def __init__(self, pipe: Connection, problem: FrozenProblem) -> None:
        self._pipe, self._cost = pipe, problem.cost

    def score(self, plans: Sequence[Plan], best: Plan | None = None) -> Iterator[Evaluation]:
        """Return an evaluation of each plan; raises OutOfEvaluations when none is left."""
        if not plans:
            return iter(())
        send(self._pipe, {"plans": [self._cost.counts(plan).tolist() for plan in plans]})
        reply = receive(self._pipe)
        if "over" in reply:
            raise OutOfEvaluations
        if "refused" in reply:
            raise UsageError(reply["refused"])
        return iter([Evaluation(score, loss) for score, loss in reply["evaluations"]])


def _silence() -> None:
    """Let what a searcher prints go nowhere: one row must not spoil the others."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)


def _guard(pipe: Connection, tables: str) -> None:
    """Report, and refuse, every attempt to open a file of the tables. It cannot be taken back."""
    place = os.path.realpath(tables)

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in ("open", "os.listdir", "os.scandir") or not arguments:
            return
        path = arguments[0]
        if isinstance(path, bytes):
            path = os.fsdecode(path)
        if isinstance(path, str | Path) and _within(os.path.realpath(path), place):
            send(pipe, {"reads": str(path)})
            raise PermissionError(f"a searcher may not read {path}")

    sys.addaudithook(watch)


def _within(path: str, place: str) -> bool:
    return path == place or path.startswith(place + os.sep)
