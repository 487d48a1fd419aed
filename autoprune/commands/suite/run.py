"""Entry of ``autoprune suite``: every searcher at every budget of every task, over the seeds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from statistics import fmean
from typing import Final

import numpy as np

from autoprune.agents.registry import SEARCHERS
from autoprune.commands.suite.answers import Evaluate
from autoprune.commands.suite.config import SuiteConfig
from autoprune.commands.suite.frozen import FrozenProblem
from autoprune.commands.suite.leaderboard import leaderboard_text
from autoprune.commands.suite.page import suite_page
from autoprune.commands.suite.recording import Recorded, Recorder
from autoprune.commands.suite.referee import Arena, Played, play
from autoprune.commands.suite.result import Entry, Scoreboard, Standing, SuiteResult, falls
from autoprune.commands.suite.table import SuiteIndex, SuiteTask, Table
from autoprune.errors import DamagedError, UsageError
from autoprune.foundation import plugins
from autoprune.foundation.files import canonical, digest, expand_user, file_digest, text_writer
from autoprune.foundation.page import REPORT
from autoprune.foundation.progress import Progress
from autoprune.foundation.user_code import is_factory, locate, refuse_malformed
from autoprune.runs.run import RESULT, Run, current_environment
from autoprune.training.in_run import done

TIMES: Final = "times.json"
"""Seconds of each searcher: the one file that differs between a suite and its repetition."""

LEADERBOARD: Final = "leaderboard"

_Computed = dict[Path, tuple[Table, Recorded, str]]


@dataclass(frozen=True)
class _Cell:
    """A searcher at a budget of a task; ``spec``: what names it."""

    task: str
    arena: Arena
    name: str
    spec: str

    @property
    def key(self) -> str:
        """Name of the cell in the journal."""
        return canonical([self.task, self.arena.budget, self.name])


def run_suite(config: SuiteConfig, progress: Progress) -> SuiteResult:
    """Carry out ``autoprune suite``; raises AutopruneError for whatever a user can mend.

    A table that is damaged or of another version is skipped, a searcher that fails is left out from
    there on; each is one line of the result.
    """
    specs = named_searchers(config.searchers)
    index = SuiteIndex.read(config.place)
    tables, skipped = _read(config.place, index)
    tasks = _chosen(tables, config)
    computed = _computed(config, tasks)
    with Run(config.directory, config, fresh=config.fresh) as run:
        run.expect(tables=digest(canonical(dict(index.tables))), **_code(specs))
        if done(run, progress):
            return SuiteResult.from_json(run.artifacts.json(RESULT), run.artifacts.json(TIMES))
        for name, reason in skipped.items():
            progress.note(f"table {name} is skipped: {reason}")
        result = _play(config, run, tasks, computed, specs, progress, skipped, _versions(index))
        run.publish_json(TIMES, dict(result.seconds))
        run.publish_json(f"{LEADERBOARD}.json", result.leaderboard())
        run.publish(f"{LEADERBOARD}.md", text_writer(leaderboard_text(result)))
        run.publish(REPORT, text_writer(suite_page(result, run.path, config)))
        run.publish_json(RESULT, result.to_json())
        return result


def named_searchers(specs: Sequence[str]) -> dict[str, str]:
    """Return spec by name; of ``path/mine.py:Mine`` the name is ``mine.py:Mine``.

    Raises UsageError for a name that nobody has, a file that is not there, and a name given twice.
    """
    found: dict[str, str] = {}
    for spec in specs:
        name = _known(spec)
        if name in found:
            raise UsageError(f"searcher {name!r} is named twice", "name each once")
        found[name] = spec
    return found


def _known(spec: str) -> str:
    """Return the name of a searcher; raise UsageError if there is none of that spec."""
    refuse_malformed(spec)
    if is_factory(spec):
        place, _, made = spec.rpartition(":")
        path = locate(str(expand_user(spec)))
        if path is None or not path.is_file():
            raise UsageError(f"there is no file {place}", "a searcher is named file.py:Searcher")
        return f"{path.name}:{made}" if place.endswith(".py") else spec
    if spec not in SEARCHERS and not plugins.known("searchers", spec):
        raise UsageError(f"unknown searcher {spec!r}", _near(spec, SEARCHERS))
    return spec


def _near(name: str, known: Iterable[str]) -> str:
    names = list(known)
    near = get_close_matches(name, names, 1)
    return f"did you mean {near[0]}?" if near else f"choose from {', '.join(names)}"


def _code(specs: Mapping[str, str]) -> dict[str, str]:
    """Hash the files of searchers that are no registered ones."""
    paths = {n: locate(str(expand_user(spec))) for n, spec in specs.items() if is_factory(spec)}
    return {name: file_digest(path) for name, path in paths.items() if path is not None}


def _read(place: Path, index: SuiteIndex) -> tuple[list[Table], dict[str, str]]:
    """Return the tables that can be used, and why others cannot."""
    tables, skipped = [], {}
    for name, sha256 in index.tables.items():
        try:
            if Path(name).name != name:
                raise DamagedError(f"{name!r} is no name of a table")
            tables.append(Table.read(place / name, sha256))
        except DamagedError as error:
            skipped[name] = str(error.args[0])
    return tables, skipped


def _chosen(tables: Sequence[Table], config: SuiteConfig) -> list[tuple[Table, SuiteTask]]:
    """Return the tasks that were asked for, each with its table and the budgets asked for.

    Raises UsageError for a task or a budget that no table has.
    """
    every = {task.name: (table, task) for table in tables for task in table.tasks}
    for name in config.tasks:
        if name not in every:
            raise UsageError(f"unknown task {name!r}", _near(name, every))
    chosen = {name: every[name] for name in (config.tasks or every)}
    budgets = dict.fromkeys(text for _, task in chosen.values() for text in task.budgets)
    for text in config.budgets:
        if text not in budgets:
            raise UsageError(f"no task has the budget {text!r}", _near(text, budgets))
    wanted = config.budgets or tuple(budgets)
    result = [
        (table, SuiteTask(name, kept))
        for name, (table, task) in chosen.items()
        if (kept := tuple(text for text in task.budgets if text in wanted))
    ]
    if not result:
        raise UsageError("no task is left to run", "name others with --tasks, or get the tables")
    return result


def _versions(index: SuiteIndex) -> dict[str, str]:
    versions = current_environment()["versions"]
    return {"suite": index.version, **{name: str(value) for name, value in versions.items()}}


def _play(
    config: SuiteConfig,
    run: Run,
    tasks: Sequence[tuple[Table, SuiteTask]],
    computed: _Computed,
    specs: Mapping[str, str],
    progress: Progress,
    skipped: Mapping[str, str],
    versions: Mapping[str, str],
) -> SuiteResult:
    """Let everybody search; what the journal has is not repeated."""
    known = {str(one["cell"]): one for one in run.journal.records}
    failed: dict[str, str] = {}
    spent: dict[str, list[float]] = {name: [] for name in specs}
    evaluate = _evaluating(run, computed, progress)
    cells = list(_cells(tasks, specs, str(config.place), evaluate))
    found: dict[tuple[str, str], dict[str, Entry]] = {}
    with progress.phase("suite", len(cells)) as phase:
        for cell in cells:
            record = known.get(cell.key)
            if record is None:
                entry, seconds = _entry(cell, config, failed.get(cell.name, ""))
                record = {"cell": cell.key, "entry": entry.to_json(), "seconds": seconds}
                run.journal.append(record)
            entry = Entry.from_json(record["entry"])
            if entry.complaint and cell.name not in failed:
                failed[cell.name] = entry.complaint
                progress.note(f"{cell.name} is left out: {entry.complaint}")
            spent[cell.name] += record["seconds"]
            found.setdefault((cell.task, cell.arena.budget), {})[cell.name] = entry
            phase.advance()
    boards = (_scoreboard(table, task, found, evaluate) for table, task in tasks)
    return SuiteResult(
        tuple(boards),
        versions,
        config.evaluations,
        config.seeds,
        skipped,
        {name: round(fmean(values), 3) for name, values in spent.items() if values},
    )


def _computed(config: SuiteConfig, tasks: Sequence[tuple[Table, SuiteTask]]) -> _Computed:
    """Return the tables to be evaluated, by folder: how they were recorded, where data are.

    Raises UsageError or DamagedError before a run begins, which would be one of that command.
    """
    tables = {table.name: table for table, _ in tasks}
    found: _Computed = {}
    for name, data in config.sources.items():
        if name not in tables:
            raise UsageError(f"no table {name!r} is used", _near(name, tables))
        folder = config.place / name
        recorded = Recorded.of(tables[name].about, folder)
        found[folder] = (tables[name], recorded, recorded.source(folder, data))
    return found


def _evaluating(run: Run, computed: _Computed, progress: Progress) -> dict[str, Evaluate]:
    """Return what evaluates the plans of tables that were named for it, by the table's name."""
    found: dict[str, Evaluate] = {}
    for folder, (table, recorded, data) in computed.items():
        with progress.phase(f"posing {table.name}", 1):
            problem = recorded.pose(folder, data)
        if not table.problem.resembles(FrozenProblem.of(problem)):
            raise UsageError(
                f"{table.name} is about another network, or its data are others",
                "evaluate with what the table names, and this version of autoprune and torch",
            )
        journal = run.path / f"{table.name}.jsonl"
        found[table.name] = Recorder(problem, recorded.samples, journal).at
    return found


def _cells(
    tasks: Sequence[tuple[Table, SuiteTask]],
    specs: Mapping[str, str],
    tables: str,
    evaluate: Mapping[str, Evaluate],
) -> Iterator[_Cell]:
    for table, task in tasks:
        for budget in task.budgets:
            arena = Arena(table, budget, tables, evaluate.get(table.name))
            for name, spec in specs.items():
                yield _Cell(task.name, arena, name, spec)


def _entry(cell: _Cell, config: SuiteConfig, complaint: str) -> tuple[Entry, list[float]]:
    """Carry out the searches of a cell, unless the searcher has failed before."""
    games: list[Played] = []
    for seed in config.all_seeds if not complaint else ():
        game = play(cell.arena, cell.spec, config.evaluations, seed, config.limit)
        complaint = game.complaint
        if complaint:
            break
        games.append(game)
    if complaint:
        return Entry(complaint=complaint), []
    chosen = [game.best for game in games]
    validation, test = (cell.arena.answers(chosen, split) for split in ("validation", "test"))
    answered = Counter[str]()
    for game in games:
        answered.update(game.answered)
    entry = Entry(
        tuple(min(game.losses) for game in games),
        tuple(falls(game.losses) for game in games),
        tuple(answer.loss for answer in validation),
        tuple(answer.loss for answer in test),
        tuple(answer.score for answer in test),
        tuple(chosen),
        answered,
        Counter(answer.source for answer in test),
    )
    return entry, [game.seconds for game in games]


def _scoreboard(
    table: Table,
    task: SuiteTask,
    found: Mapping[tuple[str, str], Mapping[str, Entry]],
    evaluate: Mapping[str, Evaluate],
) -> Scoreboard:
    standings = []
    for budget in task.budgets:
        arena = Arena(table, budget, "", evaluate.get(table.name))
        bound = arena.bound
        within = np.array([bound.fits(counts) for counts in table.counts])
        (uniform,) = arena.answers([tuple(bound.counts(bound.uniform()).tolist())])
        least = float(table.losses[within, 0].min())
        measured = table.quality.get(budget)
        quality = None if measured is None or arena.evaluate else measured.to_json()
        entries = found[task.name, budget]
        standings.append(Standing(budget, least, uniform.loss, entries, quality))
    return Scoreboard(task.name, tuple(standings))
