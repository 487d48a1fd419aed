"""The search itself: a searcher spends evaluations, each journaled, here or in workers."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any, Final

from torch import Tensor, nn

from autoprune.agents import Searcher
from autoprune.agents.policy import Policy
from autoprune.errors import UsageError
from autoprune.networks.execution import one_thread
from autoprune.networks.workers import Workers
from autoprune.pipeline.config import SearchConfig
from autoprune.pipeline.finalists import builder, choose
from autoprune.pipeline.session import Session
from autoprune.pipeline.stages import evaluator_parts, keep_policy
from autoprune.problem.evaluator import Entry, Evaluator, Outcome, racer
from autoprune.problem.problem import Evaluation, Ledger, PruningProblem, Record
from autoprune.structure.plan import Plan

WORTH: Final = 20.0
"""Seconds of evaluation from which on worker processes, which take seconds to begin, pay."""

MOST: Final = 4
"""Processes that are begun unasked: each holds the network and the search split."""

HELD: Final = 32
"""Plans of which is held what they did on each sample, in case that they lead."""


@dataclass(frozen=True)
class SearchOutcome:
    """The plan to prune by, its score on the search split if it has one, evaluations spent.

    ``network``: the compact network of the plan, if it was built already.
    """

    plan: Plan
    score: float | None
    evaluations: int
    network: nn.Module | None = None


def find(
    agent: Searcher,
    config: SearchConfig,
    session: Session,
    model: nn.Module,
    problem: PruningProblem,
    besides: Sequence[Plan] = (),
) -> SearchOutcome:
    """Search with an agent; its best few plans and ``besides`` are built and scored again."""
    ledger = explore(agent, config, session, model, problem)
    best, network = choose(session, builder(session, model, problem.ranking), ledger, besides)
    return SearchOutcome(best.plan, best.evaluation.score, ledger.count, network)


def explore(
    agent: Searcher,
    config: SearchConfig,
    session: Session,
    model: nn.Module,
    problem: PruningProblem,
) -> Ledger:
    """Let the searcher spend its evaluations; each is journaled before the next is asked for.

    A learner's policy is stored in the run.
    """
    journal = session.run.journal
    known = {plan: evaluation for plan, evaluation in map(recall, journal.records)}
    with (
        session.progress.phase("search", config.evaluations) as phase,
        crewed(session, model, problem, config.workers, config.evaluations) as shared,
    ):

        def note(record: Record) -> None:
            if not record.recalled:
                journal.append(entry(record), later=True)
            session.curves.evaluation(record)
            phase.advance(best=ledger.best.evaluation.score)

        ledger = Ledger(shared, config.evaluations, note, known)
        agent.search(shared, ledger, config.seed)
    policy: Policy | None = getattr(agent, "policy", None)
    if policy is not None:
        keep_policy(session.run, policy)
    return ledger


@contextmanager
def crewed(
    session: Session, model: nn.Module, problem: PruningProblem, workers: int, evaluations: int
) -> Iterator[PruningProblem]:
    """Give the problem ``workers`` processes to score plans in; 0: as many as pay.

    What is scored does not depend on how many there are: each computes on one thread.
    """
    parts = evaluator_parts(session, model, problem.ranking, session.inputs.data.search)
    if session.inputs.device.type != "cpu":
        workers = workers or 1  # they would only wait for one another
    assert isinstance(problem.evaluate, Evaluator)  # noqa: S101 (what phases.pose makes)
    crew = Crew(problem.evaluate, parts, workers, evaluations)
    try:
        yield replace(problem, evaluate=crew.one, spread=crew)
    finally:
        crew.close()


class Crew:
    """Scores plans in this process until others pay."""

    def __init__(
        self,
        here: Evaluator,
        parts: Sequence[Any],
        workers: int,
        evaluations: int,
    ) -> None:
        self._here, self._parts = here, parts
        self._count, self._auto = workers or min(MOST, _cores()), not workers
        self._left = evaluations
        self._seconds: list[float] = []
        self._workers: Workers[Entry, Outcome] | None = None
        self._seen: dict[Plan, Tensor] = {}

    def __call__(self, plans: Sequence[Plan], best: Plan | None) -> Iterator[Evaluation]:
        """Score plans, in their order; those that fall behind ``best`` are given up."""
        self._left -= len(plans)
        if self._workers is None and self._count > 1 and self._pays(len(plans)):
            self._begin()
        samples = self._samples(best) if best and self._here.races else None
        for plan, (found, seen) in zip(plans, self._race(plans, samples), strict=True):
            if seen is not None:
                self._seen[plan] = seen
            yield found

    def one(self, plan: Plan) -> Evaluation:
        """Score one plan on all samples."""
        return next(self([plan], None))

    def _samples(self, best: Plan) -> Tensor:
        """Return what the best plan did on each sample; after a resumption it is run again."""
        seen = self._seen.pop(best, None)
        if seen is None:
            ((_, seen),) = self._race([best], None)
        assert seen is not None  # noqa: S101 (a network that races has samples)
        self._seen[best] = seen
        for plan in list(self._seen)[:-HELD]:
            del self._seen[plan]
        return seen

    def _race(self, plans: Sequence[Plan], best: Tensor | None) -> Iterator[Outcome]:
        entries = [(plan, best) for plan in plans]
        if self._workers is not None:
            yield from self._workers.map(entries)
            return
        for entry in entries:
            with one_thread():
                outcome = self._here.race(entry)
            self._seconds.append(outcome[0].seconds)
            yield outcome

    def close(self) -> None:
        """Let the processes end."""
        if self._workers is not None:
            self._workers.close()

    def _pays(self, now: int) -> bool:
        if not self._auto:
            return True
        return bool(self._seconds) and fmean(self._seconds) * (self._left + now) > WORTH

    def _begin(self) -> None:
        try:
            self._workers = Workers(self._count, racer, *self._parts)
        except UsageError:  # a network that cannot be sent
            if not self._auto:
                raise
            self._count = 1


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not everywhere
        return os.cpu_count() or 1


def entry(record: Record) -> dict[str, object]:
    """Return what the journal keeps of an evaluation."""
    found = record.evaluation
    return {
        "evaluation": record.number,
        "plan": record.plan.to_json(),
        "score": found.score,
        "loss": found.loss,
        "failed": found.failed,
        **({"doubt": found.doubt} if found.doubt else {}),
    }


def recall(entry: Mapping[str, object]) -> tuple[Plan, Evaluation]:
    """Read what ``entry`` wrote."""
    score, loss, doubt = (float(str(entry.get(name, 0))) for name in ("score", "loss", "doubt"))
    found = Evaluation(score, loss, failed=bool(entry["failed"]), doubt=doubt)
    return Plan.from_json(entry["plan"]), found
