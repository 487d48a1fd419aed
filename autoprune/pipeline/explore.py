"""Exploration: a searcher spends evaluations, each journaled, here or in workers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from torch import nn

from autoprune.agents.base import Learner, Searcher, let_search
from autoprune.foundation.executors import LOCAL
from autoprune.foundation.progress import Phase
from autoprune.pipeline.callbacks import Callbacks
from autoprune.pipeline.config import EvaluatingConfig, SearchConfig
from autoprune.pipeline.early_end import EarlyEnd
from autoprune.pipeline.finalists import builder, choose
from autoprune.pipeline.session import Session
from autoprune.pipeline.stages import keep_policy
from autoprune.problem.evaluation import Evaluation
from autoprune.problem.evaluator import Evaluator
from autoprune.problem.ledger import Ledger, Record
from autoprune.problem.pool import ScorerPool
from autoprune.problem.problem import PruningProblem
from autoprune.structure.plan import Plan


@dataclass(frozen=True)
class SearchOutcome:
    """Plan to prune by, its score on the search split if it has one, evaluations spent.

    ``network``: the compact network of the plan, if it was built already.
    """

    plan: Plan
    score: float | None
    evaluations: int
    network: nn.Module | None = None


def find(
    agent: Searcher,
    session: Session[SearchConfig],
    model: nn.Module,
    problem: PruningProblem,
    besides: Sequence[Plan] = (),
) -> SearchOutcome:
    """Search with an agent; its best few plans and ``besides`` are built and scored again."""
    ledger = explore(agent, session, model, problem)
    build = builder(session, model, problem.ranking)
    best = choose(session, model, build, ledger, besides)
    return SearchOutcome(best.plan, best.score, ledger.count, best.network)


def explore(
    agent: Searcher, session: Session[SearchConfig], model: nn.Module, problem: PruningProblem
) -> Ledger:
    """Let the searcher spend its evaluations; each is journaled before the next is asked for.

    A learner's policy is stored in the run.
    """
    config, journal = session.config, session.run.journal
    known = {plan: evaluation for plan, evaluation in map(recall, journal.records)}
    callbacks = Callbacks(session.own.callbacks, session.run.path)
    end = EarlyEnd(callbacks, config.minutes, session.run)
    with (
        session.progress.phase("search", config.evaluations) as phase,
        pooled(session, problem, config.evaluations) as shared,
    ):

        def note(record: Record) -> None:
            if not record.recalled:
                journal.append(entry(record), later=True)
            session.curves.evaluation(record)
            advance(phase, ledger)
            end.after(record, ledger)

        ledger = Ledger(shared, config.evaluations, note, known, config.round_size)
        if problem.first:
            ledger.evaluate_all(problem.first[: ledger.left])
        if ledger.left:
            let_search(agent, shared, ledger, session.seeds.searcher)
    session.run.warnings.extend(end.warning(ledger))
    if ledger.left:
        session.progress.note(
            f"{ledger.count} of {config.evaluations} evaluations were spent: {config.agent} had no"
            " other new plan to propose"
        )
    if ledger.adopted:
        session.run.warnings.append(
            f"resumed, the search took another course: {ledger.adopted} of the {len(known)}"
            f" evaluations made before count without being asked for again; {ledger.count} in all"
        )
    if isinstance(agent, Learner) and agent.policy is not None:
        keep_policy(session.run, agent.policy)
    return ledger


def advance(phase: Phase, ledger: Ledger) -> None:
    """Report one evaluation more, and the score of the best plan so far."""
    best = ledger.best
    if best:
        phase.advance(best=best.evaluation.score)
    else:
        phase.advance()


@contextmanager
def pooled(
    session: Session[EvaluatingConfig], problem: PruningProblem, evaluations: int
) -> Iterator[PruningProblem]:
    """Let plans of a problem race in a pool of the workers that the session asks for.

    A note says where they were, unless all of it happened on this machine.
    """
    config, workers = session.config, session.config.workers
    if session.inputs.device.type != "cpu" and config.executor == LOCAL:
        workers = workers or 1  # they would only wait for one another
    if not isinstance(problem.scorer, Evaluator):
        yield problem
        return
    tuning = session.tuning.pool
    with ScorerPool(problem.scorer, workers, evaluations, tuning, config.executor) as pool:
        yield replace(problem, scorer=pool)
        if config.executor != LOCAL and pool.places:
            places = ", ".join(f"{number} x {one}" for one, number in Counter(pool.places).items())
            session.progress.note(f"plans were evaluated by workers of Ray: {places}")


def entry(record: Record) -> dict[str, object]:
    """Journal record of an evaluation."""
    found = record.evaluation
    return {
        "evaluation": record.number,
        "plan": record.plan.to_json(),
        "score": found.score,
        "loss": found.loss,
        "failed": found.failed,
        **({"doubt": found.doubt} if found.doubt else {}),
    }


def recall(record: Mapping[str, object]) -> tuple[Plan, Evaluation]:
    """Plan and evaluation of a journal record."""
    score, loss, doubt = (float(str(record.get(name, 0))) for name in ("score", "loss", "doubt"))
    found = Evaluation(score, loss, failed=bool(record["failed"]), doubt=doubt)
    return Plan.from_json(record["plan"]), found
