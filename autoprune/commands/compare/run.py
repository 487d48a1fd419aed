"""Comparison of searchers: every agent, seed and budget on one ranking and one evaluator.

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

from autoprune.agents.base import let_search
from autoprune.agents.registry import check_name, searcher
from autoprune.commands.compare.config import CompareConfig
from autoprune.commands.compare.page import comparison_page
from autoprune.commands.compare.plots import budgets_figure, search_figure
from autoprune.commands.compare.result import Comparison, Trial
from autoprune.data.task import metric
from autoprune.foundation.charts import save
from autoprune.foundation.config import slug
from autoprune.foundation.files import text_writer
from autoprune.foundation.page import REPORT
from autoprune.foundation.progress import Progress
from autoprune.networks.score import measure
from autoprune.networks.threads import threads
from autoprune.pipeline.config import SearchConfig
from autoprune.pipeline.curves import Curves
from autoprune.pipeline.execute import check_words
from autoprune.pipeline.explore import advance, entry, pooled, recall
from autoprune.pipeline.finalists import Build, builder, choose
from autoprune.pipeline.inputs import from_config, weights_hash
from autoprune.pipeline.session import PruningSession, Session
from autoprune.pipeline.setup import LATENCY, Setup, set_up, thread_count
from autoprune.pipeline.stages import finetune, pose, train
from autoprune.pipeline.tuning import Tuning
from autoprune.problem.evaluation import Evaluation
from autoprune.problem.ledger import Ledger, Record
from autoprune.problem.problem import PruningProblem
from autoprune.problem.scorer import Scorer
from autoprune.ranking.ordering import Ranking
from autoprune.runs.run import JOURNAL, RESULT, Run
from autoprune.runs.tensorboard import Events
from autoprune.structure.plan import Plan
from autoprune.training.checkpoint import discard
from autoprune.training.in_run import done

Key = tuple[str, str, int]
"""Budget, agent, seed."""


@dataclass(frozen=True)
class _Search:
    """A search that has ended: its evaluations, wall time, and the chosen network."""

    history: Sequence[Record]
    seconds: float
    plan: Plan
    pruned: nn.Module
    finetuned: nn.Module


def run_compare(
    config: CompareConfig, progress: Progress, tuning: Tuning | None = None
) -> Comparison:
    """Carry out ``autoprune compare``; raises AutopruneError for whatever a user can mend."""
    for agent in config.agents:
        check_name(agent)
    texts = (config.budget, *config.budgets)
    budgets = {text: check_words(config.search(text, config.seed)) for text in texts}
    if any("latency" in budget.costs for budget in budgets.values()):
        config = replace(config, depth=config.depth or "auto")  # one problem for all budgets
    searches = {text: config.search(text, config.seed) for text in texts}
    setups = {
        text: set_up(from_config(search), search, budgets[text], progress)
        for text, search in searches.items()
    }
    number = thread_count(config, setups[config.budget].units.structure)
    with threads(number), Run(config.directory, config, fresh=config.fresh) as run:
        if done(run, progress):
            return Comparison.from_json(run.artifacts.json(RESULT))
        with run.events() as writer:
            sessions = {
                text: _session(search, setups[text], run, writer, progress)
                for text, search in searches.items()
            }
            if tuning is not None:
                sessions = {text: replace(s, tuning=tuning) for text, s in sessions.items()}
            comparison = _compare(config, sessions)
        run.publish("search.png", partial(save, search_figure(comparison)))
        if config.budgets:
            run.publish("budgets.png", partial(save, budgets_figure(comparison)))
        page = comparison_page(comparison, run.path, config)
        run.publish(REPORT, text_writer(page))
        for path in _journals(run):  # from now on they are complete: a cut end would be seen
            run.publish(path.name, partial(copyfile, path))
        run.publish_json(RESULT, comparison.to_json())
        discard(run.artifacts)
        return comparison


def _journals(run: Run) -> list[Path]:
    """List the journals of the searches."""
    return sorted(path for path in run.path.glob("*.jsonl") if path.name != JOURNAL)


def _session(
    config: SearchConfig, setup: Setup, run: Run, writer: Events, progress: Progress
) -> Session[SearchConfig]:
    run.expect(weights=weights_hash(setup.inputs.model))
    if setup.latency is not None and LATENCY not in run.artifacts.names:
        run.publish_json(LATENCY, setup.latency.to_json())
    return Session(setup, config, run, Curves(writer, setup.units.cost), progress)


def _compare(config: CompareConfig, sessions: dict[str, Session[SearchConfig]]) -> Comparison:
    first = sessions[config.budget]
    dense = train(first)
    found: dict[Key, _Search] = {}
    for seed in config.all_seeds:
        data = from_config(config.search(config.budget, seed)).data
        first.run.expect(**{f"data_{seed}": data.fingerprint})
        seeded = {
            budget: replace(
                session,
                setup=replace(session.setup, inputs=replace(session.inputs, data=data)),
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
                agent: tuple(trials[budget, agent, seed] for seed in config.all_seeds)
                for agent in config.agents
            }
            for budget in sessions
        },
    )


def _searches(
    config: CompareConfig, sessions: dict[str, Session[SearchConfig]], dense: nn.Module, seed: int
) -> Iterator[tuple[Key, _Search]]:
    """Carry out the searches of one seed: one ranking, one crew of workers for each budget."""
    first = sessions[config.budget]
    posed = pose(first, dense)
    build = builder(first, dense, posed.ranking)
    for budget, session in sessions.items():
        problem = replace(posed, budget=session.budget, cost=session.cost)
        evaluations = config.evaluations * len(config.agents)
        known: dict[Plan, tuple[nn.Module, nn.Module]] = {}
        with pooled(session, problem, evaluations) as shared:
            scorer = SharedScorer(shared.scorer)
            problem = replace(shared, scorer=scorer)
            for agent in config.agents:
                ledger, seconds = _search(session, problem, scorer, agent)
                yield (
                    (budget, agent, seed),
                    _finish(session, build, dense, problem.ranking, known, ledger, seconds),
                )


class SharedScorer:
    """Scores plans once for all searchers, and knows how long one takes."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer, self._known = scorer, dict[tuple[Plan, Plan | None], Evaluation]()
        self._spent, self._scored = 0.0, 0

    def score(self, plans: Sequence[Plan], best: Plan | None = None) -> Iterator[Evaluation]:
        """Score plans, in their order, against the best of whoever asks."""
        unknown = [plan for plan in dict.fromkeys(plans) if (plan, best) not in self._known]
        computed = self._scorer.score(unknown, best)
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


def _search(
    session: Session[SearchConfig], problem: PruningProblem, scorer: SharedScorer, agent: str
) -> tuple[Ledger, float]:
    """Let one agent search; evaluations it did not have to wait for count at the usual pace."""
    config, evaluations = session.config, session.config.evaluations
    name = f"{slug(config.budget)}-{agent}-{config.seed}.jsonl"
    session.progress.note(f"{agent}, budget {config.budget}, seed {config.seed}")
    with (
        closing(session.run.open_journal(name)) as journal,
        session.progress.phase("search", evaluations) as phase,
    ):
        known = dict(map(recall, journal.records))

        def note(record: Record) -> None:
            if not record.recalled:
                journal.append(entry(record), later=True)
            advance(phase, ledger)

        ledger = Ledger(problem, evaluations, note, known)
        before, began = scorer.scored, time.monotonic()
        let_search(searcher(agent), problem, ledger, session.seeds.searcher)
        elapsed = time.monotonic() - began
    waited = scorer.scored - before
    return ledger, elapsed + (ledger.count - waited) * scorer.pace


def _finish(
    session: PruningSession,
    build: Build,
    dense: nn.Module,
    ranking: Ranking,
    known: dict[Plan, tuple[nn.Module, nn.Module]],
    ledger: Ledger,
    seconds: float,
) -> _Search:
    """Choose among the best plans, and fine-tune unless another agent chose the same."""
    best = choose(session, dense, build, ledger)
    if best.plan not in known:
        name = f"finetune-{slug(session.config.budget)}-{session.config.seed}-{best.plan.key}"
        masks = session.units.masks(ranking, best.plan)
        known[best.plan] = best.network, finetune(session, best.network, dense, name, masks)
    return _Search(ledger.history, seconds, best.plan, *known[best.plan])


def _tested(
    session: PruningSession, dense: nn.Module, found: dict[Key, _Search]
) -> tuple[float, dict[Key, Trial]]:
    """Read the test split, once every decision is made."""
    inputs, test = session.inputs, session.inputs.test
    scores: dict[nn.Module, float] = {}
    networks = [dense, *(net for item in found.values() for net in (item.pruned, item.finetuned))]
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
            recovered_accuracy=scores[item.finetuned],
            seconds=round(item.seconds, 2),
        )
        for key, item in found.items()
    }
    return scores[dense], trials
