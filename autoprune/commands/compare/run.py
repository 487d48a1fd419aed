"""What ``autoprune compare`` runs: every agent, seed and budget on one ranking and one evaluator.

Nothing is computed twice: agents of one seed share rankings and evaluations, and equal plans are
built and fine-tuned once. The test split is read at the very end.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from shutil import copyfile

from torch import nn

from autoprune.agents import check_name, searcher
from autoprune.commands.compare.config import CompareConfig
from autoprune.commands.compare.result import Comparison, Trial, draw_budgets, draw_search
from autoprune.data.task import metric
from autoprune.foundation.config import slug
from autoprune.foundation.progress import Progress
from autoprune.pipeline import stages as phases
from autoprune.pipeline.config import SearchConfig
from autoprune.pipeline.curves import Curves
from autoprune.pipeline.explore import crewed, entry, recall
from autoprune.pipeline.finalists import Build, builder, choose
from autoprune.pipeline.inputs import from_config, weights_hash
from autoprune.pipeline.search import check_words
from autoprune.pipeline.session import LATENCY, Session, bind_budget, find_latency, find_structure
from autoprune.problem.granularity import Grain, Granularity
from autoprune.problem.problem import Evaluation, Ledger, PruningProblem, Record
from autoprune.ranking import Ranking
from autoprune.runs.journal import Journal
from autoprune.runs.run import JOURNAL, RESULT, Run
from autoprune.runs.tensorboard import Events
from autoprune.structure.plan import Plan
from autoprune.training.checkpoint import discard
from autoprune.training.in_run import done
from autoprune.training.loop import measure

Key = tuple[str, str, int]
"""Budget, agent, seed."""


@dataclass(frozen=True)
class _Search:
    """A search that has ended: its evaluations, wall time, and the network it came to."""

    history: Sequence[Record]
    seconds: float
    plan: Plan
    pruned: nn.Module
    recovered: nn.Module


def run_compare(config: CompareConfig, progress: Progress) -> Comparison:
    """Carry out ``autoprune compare``; raises AutopruneError for whatever a user can mend."""
    for agent in config.agents:
        check_name(agent)
    budgets = (config.budget, *config.budgets)
    for budget in budgets:
        check_words(config.search(budget, 0))
    with Run(config.directory, config, fresh=config.fresh) as run:
        if done(run, progress):
            return Comparison.from_json(run.artifacts.json(RESULT))
        with run.events() as writer:
            sessions = {
                budget: _session(config.search(budget, 0), run, writer, progress)
                for budget in budgets
            }
            comparison = _compare(config, sessions)
        run.publish("search.png", partial(draw_search, comparison))
        if config.budgets:
            run.publish("budgets.png", partial(draw_budgets, comparison))
        for path in _journals(run):  # from now on they are complete: a cut end would be seen
            run.publish(path.name, partial(copyfile, path))
        run.publish_json(RESULT, comparison.to_json())
        discard(run.artifacts)
        return comparison


def _journals(run: Run) -> list[Path]:
    """List the journals of the searches."""
    return sorted(path for path in run.path.glob("*.jsonl") if path.name != JOURNAL)


def _session(config: SearchConfig, run: Run, writer: Events, progress: Progress) -> Session:
    inputs = from_config(config)
    run.expect(weights=weights_hash(inputs.model))
    structure = find_structure(inputs, progress)
    latency = find_latency(inputs, config, structure, progress)
    if latency is not None and LATENCY not in run.artifacts.names:
        run.publish_json(LATENCY, latency.to_json())
    found = latency.cost if latency else None
    grain = Grain.of(structure, Granularity.parse(config.granularity), found)
    budget = bind_budget(config, grain.cost, inputs.device)
    return Session(
        inputs, config, grain, budget, latency, run, Curves(writer, grain.cost), progress
    )


def _compare(config: CompareConfig, sessions: dict[str, Session]) -> Comparison:
    first = sessions[config.budget]
    dense = phases.train(first)
    found: dict[Key, _Search] = {}
    for seed in range(config.seeds):
        data = from_config(config.search(config.budget, seed)).data
        first.run.expect(**{f"data_{seed}": data.fingerprint})
        seeded = {
            budget: replace(
                session,
                inputs=replace(session.inputs, data=data),
                config=config.search(budget, seed),
            )
            for budget, session in sessions.items()
        }
        found.update(_searches(config, seeded, dense, seed))
    base, trials = _tested(first, dense, found)
    return Comparison(
        budget=config.budget,
        evaluations=config.evaluations,
        network=str(config.model),
        data=config.data,
        metric=metric(first.inputs.task),
        finetune_epochs=config.finetune_epochs,
        base=base,
        fractions={
            budget: min(session.budget.fractions.values(), default=1.0)
            for budget, session in sessions.items()
        },
        trials={
            budget: {
                agent: tuple(trials[budget, agent, seed] for seed in range(config.seeds))
                for agent in config.agents
            }
            for budget in sessions
        },
    )


def _searches(
    config: CompareConfig, sessions: dict[str, Session], dense: nn.Module, seed: int
) -> Iterator[tuple[Key, _Search]]:
    """Carry out the searches of one seed: one ranking, one crew of workers for each budget."""
    first = sessions[config.budget]
    posed = phases.pose(first, dense)
    build = builder(first, dense, posed.ranking)
    for budget, session in sessions.items():
        problem = replace(posed, budget=session.budget, cost=session.cost)
        evaluations = config.evaluations * len(config.agents)
        known: dict[Plan, tuple[nn.Module, nn.Module]] = {}
        with crewed(session, dense, problem, config.workers, evaluations) as shared:
            pool = _Pool(shared)
            for agent in config.agents:
                ledger, seconds = _search(session, pool, agent, config.evaluations)
                yield (
                    (budget, agent, seed),
                    _finish(session, build, dense, problem.ranking, known, ledger, seconds),
                )


class _Pool:
    """Scores plans once for all searchers, and knows how long one takes."""

    def __init__(self, problem: PruningProblem) -> None:
        self._problem, self._known = problem, dict[tuple[Plan, Plan | None], Evaluation]()
        self._spent, self._scored = 0.0, 0
        self.problem = replace(problem, evaluate=self._one, spread=self)

    def _one(self, plan: Plan) -> Evaluation:
        return next(self([plan], None))

    def __call__(self, plans: Sequence[Plan], best: Plan | None) -> Iterator[Evaluation]:
        """Score plans, in their order, against the best of whoever asks."""
        unknown = [plan for plan in dict.fromkeys(plans) if (plan, best) not in self._known]
        computed = self._problem.evaluate_all(unknown, best)
        for plan in plans:
            if (plan, best) not in self._known:
                began = time.monotonic()
                self._known[plan, best] = next(computed)
                self._spent += time.monotonic() - began
                self._scored += 1
            yield self._known[plan, best]

    @property
    def scored(self) -> int:
        """Plans that were scored."""
        return self._scored

    @property
    def pace(self) -> float:
        """Seconds that one plan takes."""
        return self._spent / max(self._scored, 1)


def _search(session: Session, pool: _Pool, agent: str, evaluations: int) -> tuple[Ledger, float]:
    """Let one agent search; evaluations it did not have to wait for count at the usual pace."""
    config = session.config
    name = f"{slug(config.budget)}-{agent}-{config.seed}.jsonl"
    session.progress.note(f"{agent}, budget {config.budget}, seed {config.seed}")
    with (
        closing(Journal(session.run.path / name)) as journal,
        session.progress.phase("search", evaluations) as phase,
    ):
        known = dict(map(recall, journal.records))

        def note(record: Record) -> None:
            if not record.recalled:
                journal.append(entry(record), later=True)
            phase.advance(best=ledger.best.evaluation.score)

        ledger = Ledger(pool.problem, evaluations, note, known)
        before, began = pool.scored, time.monotonic()
        searcher(agent).search(pool.problem, ledger, config.seed)
        elapsed = time.monotonic() - began
    waited = pool.scored - before
    return ledger, elapsed + (ledger.count - waited) * pool.pace


def _finish(
    session: Session,
    build: Build,
    dense: nn.Module,
    ranking: Ranking,
    known: dict[Plan, tuple[nn.Module, nn.Module]],
    ledger: Ledger,
    seconds: float,
) -> _Search:
    """Choose among the best plans, and fine-tune unless another agent chose the same."""
    best, pruned = choose(session, build, ledger)
    if best.plan not in known:
        name = f"finetune-{slug(session.config.budget)}-{session.config.seed}-{best.plan.key}"
        masks = session.grain.masks(ranking, best.plan)
        known[best.plan] = pruned, phases.recover(session, pruned, dense, name, masks)
    return _Search(ledger.history, seconds, best.plan, *known[best.plan])


def _tested(
    session: Session, dense: nn.Module, found: dict[Key, _Search]
) -> tuple[float, dict[Key, Trial]]:
    """Read the test split, once every decision is made."""
    inputs = session.inputs
    test = inputs.data.test.to(inputs.device)
    scores: dict[nn.Module, float] = {}
    networks = [dense, *(net for item in found.values() for net in (item.pruned, item.recovered))]
    with session.progress.phase("test", len(set(networks))) as phase:
        for network in dict.fromkeys(networks):
            scores[network] = measure(network, test, inputs.task).score
            phase.advance()
    trials = {
        key: Trial(
            plan=item.plan,
            scores=tuple(record.evaluation.score for record in item.history),
            losses=tuple(record.evaluation.loss for record in item.history),
            test_accuracy=scores[item.pruned],
            recovered_accuracy=scores[item.recovered],
            seconds=round(item.seconds, 2),
        )
        for key, item in found.items()
    }
    return scores[dense], trials
