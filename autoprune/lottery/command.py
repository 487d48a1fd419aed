"""``autoprune ticket --model``: find tickets by iterative magnitude pruning, and compare them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from statistics import fmean
from typing import Any

import torch
from torch.utils._pytree import tree_map

from autoprune.checks import check
from autoprune.data import Data, Split, load_data
from autoprune.lottery.config import TicketConfig
from autoprune.lottery.outcome import Trials, level_json, verdict
from autoprune.lottery.recipe import recipe
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


def find_tickets(config: TicketConfig, progress: Progress) -> dict[str, Any]:
    """Find tickets as ``config`` says; return what ``result.json`` holds.

    What the run directory already has is not trained again; levels and seeds can be added. Raises
    AutopruneError for whatever a user can mend.
    """
    study = prepare(config)
    with Run(config.directory, config, fresh=config.fresh) as run:
        run.expect(data=study.data.fingerprint, network=weights_hash(study.network(config.seed)))
        records = _explore(study, config, run, progress)
        result = summary(config, study, records, run)
        run.publish_json(RESULT, result)
        _draw(run, records)
        return result


def prepare(config: TicketConfig) -> Study:
    """Load network, data and task and see whether they fit together, before any training."""
    device = resolve_device(config.device)
    task = resolve_task(config.task)
    data = load_data(config.data, config.seed)
    spec = model_spec(str(config.model), data)
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


def summary(config: TicketConfig, study: Study, records: Records, run: Run) -> dict[str, Any]:
    """Return the outcome of all levels as a JSON-able object."""
    levels: list[tuple[float, dict[int, Trials]]] = []
    for level in range(config.levels + 1):
        found = {seed: record for (at, seed), record in records.items() if at == level}
        share = fmean(record["remaining"] for record in found.values())
        levels.append((share, {seed: _trials(records, level, seed) for seed in found}))
    return {
        "model": config.model,
        "data": config.data,
        "iterations": study.fit.steps,
        "rewind": study.rewind,
        "method": "one-shot" if config.one_shot else "iterative",
        "levels": [level_json(share, seeds) for share, seeds in levels],
        "verdict": verdict([(share, list(seeds.values())) for share, seeds in levels[1:]]),
        "warnings": run.warnings,
        "run": str(run.path),
    }


def _trials(records: Records, level: int, seed: int) -> Trials:
    """Collect the trainings of a seed at a level; the dense one is that of level 0."""
    dense = Trial.from_json(records[0, seed]["trials"]["ticket"])
    trials = {name: Trial.from_json(data) for name, data in records[level, seed]["trials"].items()}
    order = ("ticket", "dense", "reinit", "shuffled")
    return {kind: trials.get(kind, dense) for kind in order}


def _draw(run: Run, records: Records) -> None:
    """Write the learning curves for TensorBoard."""
    with run.events() as writer:
        for (level, seed), record in records.items():
            for kind, data in record["trials"].items():
                name = f"{kind}/level-{level}/seed-{seed}"
                for step, loss, accuracy in data["curve"]:
                    writer.add_scalar(f"{name}/validation_loss", loss, step)
                    writer.add_scalar(f"{name}/validation_accuracy", accuracy, step)
