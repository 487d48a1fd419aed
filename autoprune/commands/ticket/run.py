"""``autoprune ticket``: what is asked, the trainings that answer it, and what they come to."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from autoprune.commands.ticket.analysis import analysis
from autoprune.commands.ticket.config import TicketConfig
from autoprune.commands.ticket.iterative import Iterative
from autoprune.commands.ticket.jobs import (
    Job,
    Key,
    Record,
    Records,
    Tick,
    clear,
    half_lost,
    lost,
    pending,
)
from autoprune.commands.ticket.plots import draw
from autoprune.commands.ticket.studies import prepare
from autoprune.commands.ticket.study import Study
from autoprune.foundation.files import canonical
from autoprune.foundation.progress import Phase, Progress
from autoprune.networks.workers import Workers
from autoprune.runs.damage import note_damage
from autoprune.runs.run import RESULT, Run

ANALYSIS = "analysis.json"
_ANEW = "when it was made anew: what was trained from it before rests on another one"


def run_ticket(config: TicketConfig, progress: Progress) -> dict[str, Any]:
    """Carry out ``autoprune ticket``; return what ``result.json`` holds.

    What the run directory already has is not trained again; levels and seeds can be added. Raises
    AutopruneError for whatever a user can mend.
    """
    study, facts = prepare(config)
    with Run(config.directory, config, fresh=config.fresh) as run:
        run.expect(**facts.hashes)
        records = _train(study, run, config.workers or _cores(facts.device), progress)
        result = {**facts.shown, **study.result(records)}
        if isinstance(study, Iterative):
            found = analysis(study, run.path, records)
            run.publish_json(ANALYSIS, found)
            result["analysis"] = {**found["levels"][-1], "barrier_dense": found["barrier_dense"]}
        plots = dict(draw(study, result, records, run.path))
        for name, writer in plots.items():
            run.publish(name, writer)
        result |= {"plots": list(plots), "warnings": run.warnings, "run": str(run.path)}
        run.publish_json(RESULT, result)
        _curves(run, records)
        return result


def _cores(device: str) -> int:
    """Return how many trainings run side by side: one on an accelerator, else one per core."""
    return os.cpu_count() or 1 if device == "cpu" else 1


def _train(study: Study, run: Run, workers: int, progress: Progress) -> Records:
    """Carry out the trainings that are missing; each is journaled when it ends."""
    known: dict[Key, Record] = {_key(item): item for item in run.journal.records}
    jobs = study.jobs()
    gone = [str(place.relative_to(run.path)) for place in lost(jobs, known, run.path)]
    todo = list(pending(jobs, known, run.path))
    note_damage(progress, [*run.damaged, *gone, *half_lost(todo, run.path)])
    if todo:
        workers = min(workers, max(len(wave) for wave in waves(todo)))
        with progress.phase("tickets", sum(job.steps for job in todo)) as phase:
            for job, record in _carried_out(study, todo, run.path, workers, phase):
                if job.key not in known:
                    run.journal.append(record)
                elif canonical(record) != canonical(known[job.key]):
                    run.warnings.append(f"{job.mask} of seed {job.seed} came out otherwise {_ANEW}")
                known.setdefault(job.key, record)
                clear(job, run.path)
    for job in jobs:  # a kill may have come between a record and this
        clear(job, run.path)
    return {job.key: known[job.key] for job in jobs}


def _carried_out(
    study: Study, todo: Sequence[Job], home: Path, workers: int, phase: Phase
) -> Iterator[tuple[Job, Record]]:
    """Train, wave by wave, and tell the phase: every now and then, or when other processes end."""
    alone = workers == 1
    tick: Tick = (lambda steps: phase.advance(steps)) if alone else ignore
    # Made before, not in the worker, when it is this process: then nothing needs to be sent.
    start: tuple[Any, ...] = (lambda: partial(_work, study, home, tick),)
    if not alone:
        start = (partial, _work, study, home, tick)
    with Workers(workers, *start) as crew:
        for wave in waves(todo):
            for job, record in zip(wave, crew.map(wave), strict=True):
                accuracy = record["trial"]["accuracy"]
                left = 100 * record["remaining"]
                phase.advance(0 if alone else job.steps, remaining=left, accuracy=accuracy)
                yield job, record


def waves(jobs: Sequence[Job]) -> list[list[Job]]:
    """Sort trainings into waves: none needs another of its own wave or of a later one."""
    at: dict[Key, int] = {}
    found: list[list[Job]] = []
    for job in jobs:
        at[job.key] = max((at[need] + 1 for need in job.needs if need in at), default=0)
        if at[job.key] == len(found):
            found.append([])
        found[at[job.key]].append(job)
    return found


def ignore(steps: int) -> None:
    """Tell nobody."""


def _work(study: Study, home: Path, tick: Callable[[int], None], job: Job) -> Record:
    return study.carry_out(job, home, tick)


def _key(record: Record) -> Key:
    return str(record["mask"]), int(record["seed"]), str(record["kind"])


def _curves(run: Run, records: Records) -> None:
    """Write the learning curves for TensorBoard."""
    with run.events() as writer:
        for (mask, seed, kind), record in records.items():
            for step, loss, accuracy in record["trial"]["curve"]:
                name = f"{kind}/{mask}/seed-{seed}"
                writer.add_scalar(f"{name}/validation_loss", loss, step)
                writer.add_scalar(f"{name}/validation_accuracy", accuracy, step)
