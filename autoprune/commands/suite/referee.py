"""Referee of a search: starts its process, answers and counts its plans, ends it in time."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from multiprocessing import get_all_start_methods, get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Final

from autoprune.agents.registry import SEARCHERS
from autoprune.commands.suite.answers import Answer, Evaluate, answers
from autoprune.commands.suite.seat import receive, send, serve
from autoprune.commands.suite.table import Table
from autoprune.cost.bound_budget import BoundBudget
from autoprune.cost.budget import Budget
from autoprune.errors import AutopruneError

Counts = tuple[int, ...]

MOST: Final = 100_000
"""Plans of one message; more is no search."""

PRELOADED: Final = [
    "autoprune.commands.suite.seat",
    *(entry.factory.partition(":")[0] for entry in SEARCHERS.values()),
]
"""Modules that every process has from the start, where processes are forked."""

_PATIENCE: Final = 1.0
"""Seconds that a process has to end by itself."""


@dataclass(frozen=True, eq=False)
class Arena:
    """A table at a budget; ``tables``: the folder that no searcher may read.

    ``evaluate``: what evaluates plans that are not in the table.
    """

    table: Table
    budget: str
    tables: str
    evaluate: Evaluate | None = None

    def answers(self, plans: Sequence[Counts], split: str = "search") -> list[Answer]:
        """Return the answers for plans on a split."""
        return answers(self.table, plans, split, self.evaluate)

    @cached_property
    def bound(self) -> BoundBudget:
        """The budget, bound to the network."""
        return Budget.parse(self.budget).bind(self.table.problem.cost, self.table.problem.steps)

    @cached_property
    def problem(self) -> Mapping[str, Any]:
        """The problem as a searcher's process gets it."""
        return self.table.problem.to_json()


@dataclass(frozen=True)
class Played:
    """One search: its plans in order and their losses, and the answers' sources.

    ``seconds``: processor time of the searcher itself. ``complaint``: why it counts for nothing.
    """

    plans: tuple[Counts, ...]
    losses: tuple[float, ...]
    answered: Mapping[str, int]
    seconds: float = 0.0
    complaint: str = ""

    @property
    def best(self) -> Counts:
        """Plan of least loss, the first of equals."""
        return self.plans[min(range(len(self.losses)), key=self.losses.__getitem__)]


def play(arena: Arena, searcher: str, evaluations: int, seed: int, limit: float) -> Played:
    """Let a searcher search in a process of its own, for at most ``limit`` seconds of wall time.

    The time that answers take does not count.

    Every plan that it asks for counts once, however it asks; the same plan has the same answer.
    """
    ours, process = _begin()
    book = _Book(arena, evaluations)
    try:
        send(
            ours,
            {
                "problem": arena.problem,
                "budget": arena.budget,
                "searcher": searcher,
                "evaluations": evaluations,
                "seed": seed,
                "tables": arena.tables,
            },
        )
        end = _attend(ours, book, time.monotonic() + limit, limit)
    except (EOFError, OSError):
        end = {"fails": "its process ended before the search did"}
    finally:
        ours.close()
        process.join(_PATIENCE)
        if process.exitcode is None:
            process.kill()
            process.join()
    return book.played(end)


def _begin() -> tuple[Connection, BaseProcess]:
    """Start a process that knows nothing, where possible forked from one that has loaded torch."""
    if "forkserver" in get_all_start_methods():
        forking = get_context("forkserver")
        forking.set_forkserver_preload(PRELOADED)
        ours, theirs = forking.Pipe()
        process: BaseProcess = forking.Process(target=serve, args=(theirs,), daemon=True)
    else:
        spawning = get_context("spawn")
        ours, theirs = spawning.Pipe()
        process = spawning.Process(target=serve, args=(theirs,), daemon=True)
    process.start()
    theirs.close()
    return ours, process


def _attend(pipe: Connection, book: _Book, until: float, limit: float) -> Mapping[str, Any]:
    """Answer a searcher until it ends; return how."""
    while True:
        if not pipe.poll(max(until - time.monotonic(), 0.0)):
            return {"fails": f"it did not end within {limit:g} seconds"}
        try:
            message = receive(pipe)
        except AutopruneError as error:
            return {"fails": str(error.args[0])}
        if not isinstance(message, dict):
            return {"fails": "it sent what is no message"}
        if "plans" not in message:
            return message
        asked = time.monotonic()
        with suppress(BrokenPipeError):
            send(pipe, book.reply(message["plans"]))
        until += time.monotonic() - asked
        if time.monotonic() > until:
            return {"fails": f"it did not end within {limit:g} seconds"}


class _Book:
    """Evaluations that one search has asked for: each plan once, none beyond the limit."""

    def __init__(self, arena: Arena, limit: int) -> None:
        self._arena, self._limit = arena, limit
        self._known: dict[Counts, Answer] = {}

    def reply(self, asked: Any) -> dict[str, Any]:
        """Answer a message, or say that nothing is left, or what is wrong with a plan."""
        try:
            plans = [tuple(map(int, plan)) for plan in asked]
            self._check(plans)
            new = [plan for plan in dict.fromkeys(plans) if plan not in self._known]
            allowed = new[: self._limit - len(self._known)]
            found = self._arena.answers(allowed)
        except (TypeError, ValueError, OverflowError) as error:
            return {"refused": f"it asks for what is no plan: {error}"}
        except AutopruneError as error:
            return {"refused": str(error.args[0])}
        self._known.update(zip(allowed, found, strict=True))
        if len(new) > len(allowed):
            return {"over": True}
        return {"evaluations": [[self._known[p].score, self._known[p].loss] for p in plans]}

    def _check(self, plans: Sequence[Counts]) -> None:
        bound, structure = self._arena.bound, self._arena.table.problem.structure
        if len(plans) > MOST:
            raise ValueError(f"{len(plans)} plans at once")
        for counts in plans:
            if len(counts) != len(structure.groups):
                raise ValueError(f"{len(counts)} counts for {len(structure.groups)} groups")
            plan = bound.cost.plan(counts)
            plan.check(structure)
            if not bound.met(plan):
                raise ValueError(f"plan {list(counts)} exceeds the budget {bound.name}")

    def played(self, end: Mapping[str, Any]) -> Played:
        """Return the search; ``end``: the last message."""
        plans, found = tuple(self._known), list(self._known.values())
        complaint = ""
        if "reads" in end:
            complaint = f"it reads the tables: {end['reads']}"
        elif "ended" not in end:
            complaint = str(end.get("fails", "it sent what is no message"))
        elif not plans:
            complaint = "it evaluated no plan"
        seconds = end.get("ended", 0.0)
        return Played(
            plans,
            tuple(answer.loss for answer in found),
            Counter(answer.source for answer in found),
            float(seconds) if isinstance(seconds, int | float) else 0.0,
            " ".join(complaint.split())[:300],
        )
