"""``autoprune ticket``: find tickets, or train the mask of a search again, and compare."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch.utils._pytree import tree_map

from autoprune.checks import check
from autoprune.data import Data, Split, load_data
from autoprune.lottery.config import TicketConfig
from autoprune.lottery.outcome import Trials, level_json, mask_verdict, verdict
from autoprune.lottery.recipe import recipe
from autoprune.lottery.retrain import STARTS, Retraining
from autoprune.lottery.source import Source, read_source
from autoprune.lottery.study import Study, folder
from autoprune.lottery.ticket import FACTS
from autoprune.lottery.trial import Splits, Trial
from autoprune.models import model_spec
from autoprune.progress import Progress
from autoprune.run import RESULT, Run
from autoprune.subject import resolve_device, weights_hash
from autoprune.task import resolve_task

Records = Mapping[tuple[int, int], Mapping[str, Any]]
"""What the journal holds, by (level, seed)."""


def run_ticket(config: TicketConfig, progress: Progress) -> dict[str, Any]:
    """Carry out ``autoprune ticket``; return what ``result.json`` holds.

    What the run directory already has is not trained again; levels and seeds can be added. Raises
    AutopruneError for whatever a user can mend.
    """
    source = None if config.run is None else read_source(Path(config.run))
    study = prepare(config, source)
    with Run(config.directory, config, fresh=config.fresh) as run:
        run.expect(data=study.data.fingerprint)
        if source:
            result = _retrain(Retraining(study, source), config, run, progress)
        else:
            run.expect(network=weights_hash(study.network(config.seed)))
            result = _find(study, config, run, progress)
        result |= {"warnings": run.warnings, "run": str(run.path)}
        run.publish_json(RESULT, result)
        _draw(run)
        return result


def prepare(config: TicketConfig, source: Source | None = None) -> Study:
    """Load network, data and task and see whether they fit together, before any training."""
    device = resolve_device(config.device)
    named = source.config if source else config
    task, data = resolve_task(named.task), load_data(named.data, named.seed)
    spec = source.spec if source else model_spec(str(config.model), data)
    fit = recipe(config, spec.factory, len(data.train))
    rewind = config.rewind_iterations(fit.epoch(len(data.train)))
    replace(fit, first=rewind).length(len(data.train))
    splits = splits_of(data, device)
    study = Study(
        spec, data, splits, task, device, fit, config.rate, config.scope, config.one_shot, rewind
    )
    check(study.network(config.seed), data, task)
    return study


def splits_of(data: Data, device: torch.device) -> Splits:
    """Return what to train on, all that is held out to watch, and the test split."""
    held = tree_map(lambda *parts: torch.cat(parts), data.search.content, data.validation.content)
    validation = Split(held, data.validation.form, "validation")
    return Splits(*(split.to(device) for split in (data.train, validation, data.test)))


def _find(study: Study, config: TicketConfig, run: Run, progress: Progress) -> dict[str, Any]:
    """Find tickets by iterative magnitude pruning."""
    records = _explore(study, config, run, progress)
    levels: list[tuple[float, dict[int, Trials]]] = []
    for level in range(config.levels + 1):
        found = {seed: record for (at, seed), record in records.items() if at == level}
        share = fmean(record["remaining"] for record in found.values())
        levels.append((share, {seed: _trials(records, level, seed) for seed in found}))
    return {
        "model": config.model,
        "data": config.data,
        "method": "one-shot" if config.one_shot else "iterative",
        "iterations": study.fit.steps,
        "rewind": study.rewind,
        "levels": [level_json(share, seeds) for share, seeds in levels],
        "verdict": verdict([(share, list(seeds.values())) for share, seeds in levels[1:]]),
    }


def _retrain(job: Retraining, config: TicketConfig, run: Run, progress: Progress) -> dict[str, Any]:
    """Train the mask of a search from every start."""
    known: dict[int, dict[str, Trial]] = {}
    for item in run.journal.records:
        known.setdefault(item["seed"], {})[item["start"]] = Trial.from_json(item["trial"])
    with progress.phase("tickets", config.seeds * len(STARTS)) as phase:
        for seed in range(config.seed, config.seed + config.seeds):
            trials = known.setdefault(seed, {})
            phase.advance(len(trials))

            def note(start: str, trial: Trial, seed: int = seed) -> None:
                record = {"level": 0, "seed": seed, "start": start, "trial": trial.to_json()}
                run.journal.append(record)
                known[seed][start] = trial
                phase.advance(accuracy=trial.accuracy)

            if len(trials) < len(STARTS) or not (run.path / f"seed-{seed}" / FACTS).is_file():
                job.seed(seed, run.path, dict(trials), note)
    asked = range(config.seed, config.seed + config.seeds)
    seeds = {seed: {start: known[seed][start] for start in STARTS} for seed in asked}
    return {
        "model": job.source.spec.factory,
        "data": job.source.config.data,
        "method": f"the mask of {config.run}",
        "iterations": job.study.fit.steps,
        "rewind": job.study.rewind,
        "macs": round(job.macs, 6),
        "levels": [level_json(job.remaining, seeds)],
        "verdict": mask_verdict(list(seeds.values())),
    }


def _explore(study: Study, config: TicketConfig, run: Run, progress: Progress) -> Records:
    """Train level by level, all seeds of one before the next; each is journalled when it ends."""
    known = {(item["level"], item["seed"]): item for item in run.journal.records}
    jobs = [
        (level, config.seed + repetition)
        for level in range(config.levels + 1)
        for repetition in range(config.seeds)
    ]
    with progress.phase("tickets", len(jobs)) as phase:
        for level, seed in jobs:
            if (level, seed) not in known or not (folder(run.path, seed, level) / FACTS).is_file():
                record = study.level(level, seed, run.path)
                if (level, seed) not in known:
                    run.journal.append(record)
                known[level, seed] = record
            found = known[level, seed]
            accuracy = found["trials"]["ticket"]["accuracy"]
            phase.advance(remaining=100 * found["remaining"], accuracy=accuracy)
    return {job: known[job] for job in jobs}


def _trials(records: Records, level: int, seed: int) -> Trials:
    """Collect the trainings of a seed at a level; the dense one is that of level 0."""
    dense = Trial.from_json(records[0, seed]["trials"]["ticket"])
    trials = {name: Trial.from_json(data) for name, data in records[level, seed]["trials"].items()}
    order = ("ticket", "dense", "reinit", "shuffled")
    return {kind: trials.get(kind, dense) for kind in order}


def _draw(run: Run) -> None:
    """Write the learning curves for TensorBoard."""
    with run.events() as writer:
        for record in run.journal.records:
            trials = record.get("trials") or {record["start"]: record["trial"]}
            for kind, data in trials.items():
                name = f"{kind}/level-{record['level']}/seed-{record['seed']}"
                for step, loss, accuracy in data["curve"]:
                    writer.add_scalar(f"{name}/validation_loss", loss, step)
                    writer.add_scalar(f"{name}/validation_accuracy", accuracy, step)
