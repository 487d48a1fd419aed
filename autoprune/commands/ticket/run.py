"""Entry of ``autoprune ticket``: carries out the jobs of a study and stores its result."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from autoprune.commands.ticket.config import TicketConfig
from autoprune.commands.ticket.evidence.analysis import analysis
from autoprune.commands.ticket.jobs import (
    Job,
    Key,
    Record,
    Records,
    Tick,
    clear_checkpoint,
    damaged_checkpoints,
    pending,
    put_damaged_aside,
)
from autoprune.commands.ticket.page import ticket_page
from autoprune.commands.ticket.plots import draw
from autoprune.commands.ticket.prepare import StudyInputs, prepare
from autoprune.commands.ticket.studies.iterative import Iterative
from autoprune.commands.ticket.studies.study import Study
from autoprune.foundation.files import canonical, text_writer
from autoprune.foundation.page import REPORT, asked
from autoprune.foundation.progress import Phase, Progress
from autoprune.networks.threads import available_cores, suitable_threads, threads
from autoprune.networks.workers import Workers
from autoprune.runs.damage import note_damage
from autoprune.runs.run import RESULT, Run

ANALYSIS = "analysis.json"
_REPLACED = "when it was trained again: earlier trainings that started from it used another ticket"


def run_ticket(config: TicketConfig, progress: Progress) -> dict[str, Any]:
    """Carry out ``autoprune ticket``; return what ``result.json`` holds.

    What the run directory already has is not trained again; levels and seeds can be added. Raises
    AutopruneError for errors that a user can fix.
    """
    study, inputs = prepare(config)
    return run_study(study, inputs, config, progress)


def run_study(
    study: Study, inputs: StudyInputs, config: TicketConfig, progress: Progress
) -> dict[str, Any]:
    """Carry out a study in the run directory of ``config``; return what ``result.json`` holds."""
    number = config.threads or suitable_threads(inputs.macs)
    with threads(number), Run(config.directory, config, fresh=config.fresh) as run:
        run.expect(**inputs.hashes)
        run.warnings.extend(inputs.remarks)
        workers = config.workers or _side_by_side(inputs.device, number)
        records = _train(study, run, workers, progress)
        result = {**inputs.shown, **study.result(records)}
        if isinstance(study, Iterative):
            by_level = analysis(study, run.path, records)
            run.publish_json(ANALYSIS, by_level)
            last, dense = by_level["levels"][-1], by_level["barrier_dense"]
            result["analysis"] = {**last, "barrier_dense": dense}
        plots = dict(draw(study, result, records, run.path))
        for name, writer in plots.items():
            run.publish(name, writer)
        result |= {"plots": list(plots), "warnings": run.warnings, "run": str(run.path)}
        page = ticket_page(result, study.levels_of(records), asked(config))
        run.publish(REPORT, text_writer(page))
        run.publish_json(RESULT, result)
        _write_curves(run, records)
        return result


def _side_by_side(device: str, number: int) -> int:
    """Return how many trainings of so many threads fit on the cores; one on an accelerator."""
    return max(1, available_cores() // number) if device == "cpu" else 1


def _train(study: Study, run: Run, workers: int, progress: Progress) -> Records:
    """Carry out the jobs that are missing; each is journaled when it ends."""
    known: dict[Key, Record] = {_key(record): record for record in run.journal.records}
    jobs = study.jobs()
    damaged = put_damaged_aside(jobs, known, run.path)
    gone = [str(path.relative_to(run.path)) for path in damaged]
    todo = list(pending(jobs, known, run.path))
    note_damage(progress, [*run.damaged, *gone, *damaged_checkpoints(todo, run.path)])
    if todo:
        workers = min(workers, max(len(wave) for wave in waves(todo)))
        with progress.phase("tickets", sum(job.steps for job in todo)) as phase:
            for job, record in _carried_out(study, todo, run.path, workers, phase):
                if job.key not in known:
                    run.journal.append(record)
                elif canonical(record) != canonical(known[job.key]):
                    run.warnings.append(
                        f"{job.mask} of seed {job.seed} came out differently {_REPLACED}"
                    )
                known.setdefault(job.key, record)
                clear_checkpoint(job, run.path)
    for job in jobs:  # the process may have been killed between a record and this
        clear_checkpoint(job, run.path)
    return {job.key: known[job.key] for job in jobs}


def _carried_out(
    study: Study, todo: Sequence[Job], home: Path, workers: int, phase: Phase
) -> Iterator[tuple[Job, Record]]:
    """Carry out jobs wave by wave; the phase advances with each step, or job by other processes."""
    alone = workers == 1
    tick: Tick = (lambda steps: phase.advance(steps)) if alone else ignore
    # With one worker, which is this process, the function is made here: nothing needs to be sent.
    start: tuple[Any, ...] = (lambda: partial(_work, study, home, tick),)
    if not alone:
        start = (partial, _work, study, home, tick)
    with Workers(workers, *start, threads=torch.get_num_threads()) as crew:
        for wave in waves(todo):
            for job, record in zip(wave, crew.map(wave), strict=True):
                accuracy = record["trial"]["accuracy"]
                left = 100 * record["remaining"]
                phase.advance(0 if alone else job.steps, remaining=left, accuracy=accuracy)
                yield job, record


def waves(jobs: Sequence[Job]) -> list[list[Job]]:
    """Sort jobs into waves: none needs another job of its own wave or of a later one."""
    wave_of: dict[Key, int] = {}
    sorted_jobs: list[list[Job]] = []
    for job in jobs:
        needed = (wave_of[need] + 1 for need in job.needs if need in wave_of)
        wave_of[job.key] = max(needed, default=0)
        if wave_of[job.key] == len(sorted_jobs):
            sorted_jobs.append([])
        sorted_jobs[wave_of[job.key]].append(job)
    return sorted_jobs


def ignore(steps: int) -> None:
    """Report no progress; the ``Tick`` of other processes."""


def _work(study: Study, home: Path, tick: Callable[[int], None], job: Job) -> Record:
    return study.carry_out(job, home, tick)


def _key(record: Record) -> Key:
    return str(record["mask"]), int(record["seed"]), str(record["kind"])


def _write_curves(run: Run, records: Records) -> None:
    """Write the learning curves for TensorBoard."""
    with run.events() as writer:
        for (mask, seed, kind), record in records.items():
            for step, loss, accuracy in record["trial"]["curve"]:
                name = f"{kind}/{mask}/seed-{seed}"
                writer.add_scalar(f"{name}/validation_loss", loss, step)
                writer.add_scalar(f"{name}/validation_accuracy", accuracy, step)
