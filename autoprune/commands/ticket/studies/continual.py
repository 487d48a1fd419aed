"""Study of continued use: a ticket of the first week is trained on the data of every later one.

The training split is cut, in stored order, into one slice per week. Every week these are trained
from the same initial (or rewound) weights, on that week's slice alone: the dense network, the
ticket, and the ticket's controls.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any, Final

from autoprune.commands.ticket.evidence.summary import Level, TrialsByKind, level_json
from autoprune.commands.ticket.evidence.verdict import continual_verdict
from autoprune.commands.ticket.jobs import Job, Key, Record, Records, Tick, folder
from autoprune.commands.ticket.studies.iterative import Iterative
from autoprune.commands.ticket.studies.search_mask import masked_macs
from autoprune.commands.ticket.ticket import Ticket
from autoprune.commands.ticket.training.experiment import Experiment
from autoprune.commands.ticket.training.trial import Splits, trial_of
from autoprune.pipeline.inputs import on_device
from autoprune.structure import Structure
from autoprune.structure.analyze import analyze

PASSES: Final = 3
"""Cost of a training iteration in forward passes: the backward pass costs two."""

KINDS: Final = ("ticket", "dense", "reinit", "shuffled")


@dataclass(frozen=True)
class TrainingCost:
    """Cost of training in multiply-adds, means over seeds; a weight at zero costs nothing.

    ``finding`` is the cost of all trainings of the first week, ``first`` that of the dense one,
    which is needed anyway; ``ticket`` and ``dense`` are the costs of one later week.
    """

    finding: int
    first: int
    ticket: int
    dense: int

    @property
    def pays_after(self) -> int | None:
        """Weeks, including the first, after which the ticket has cost less; None if never."""
        saved = self.dense - self.ticket
        return 1 + math.ceil((self.finding - self.first) / saved) if saved > 0 else None

    def to_json(self, weeks: int) -> dict[str, Any]:
        """Return a JSON-able object with the sums over so many weeks."""
        later = weeks - 1
        return {
            "finding": self.finding,
            "dense_week": self.dense,
            "ticket_week": self.ticket,
            "dense_total": self.first + later * self.dense,
            "ticket_total": self.finding + later * self.ticket,
            "pays_after_weeks": self.pays_after,
        }


def _trials_of_week(records: Records, week: int, seed: int) -> TrialsByKind:
    return {kind: trial_of(records[_week_name(week), seed, kind]) for kind in KINDS}


@dataclass(frozen=True)
class Continual:
    """Study of continued use: ``finding`` finds tickets on the first of ``weeks`` slices.

    ``experiment`` has the data of all weeks.
    """

    experiment: Experiment
    finding: Iterative
    weeks: int

    def jobs(self) -> list[Job]:
        """List the trainings: those that find the tickets, then week by week."""
        steps, late = self.experiment.steps, self.experiment.steps - self.experiment.rewind
        last = self.finding.name(self.finding.levels)
        return self.finding.jobs() + [
            Job(
                _week_name(week),
                seed,
                kind,
                steps if kind == "reinit" else late,
                ((last, seed, "ticket"),),
            )
            for week in range(2, self.weeks + 1)
            for seed in self.finding.seeds
            for kind in KINDS
        ]

    def carry_out(self, job: Job, home: Path, tick: Tick) -> Record:
        """Train one network, and record its cost in multiply-adds."""
        last = self.finding.levels if job.kind != "dense" else 0
        if job.mask.startswith("week-"):
            ticket = Ticket.load(folder(home, job.seed, self.finding.name(last)))
            splits = week_splits(self.experiment, int(job.mask[-2:]), self.weeks)
            experiment = replace(self.experiment, splits=splits)
            outcome = experiment.train_ticket(job, ticket, home, tick)
            record, masks = outcome.record, ticket.masks
        else:
            record = dict(self.finding.carry_out(job, home, tick))
            masks = Ticket.load(folder(home, job.seed, job.mask)).masks
        macs = masked_macs(self._structure, masks) * PASSES * self.experiment.recipe.batch_size
        return {**record, "macs": round(macs * job.steps)}

    def levels_of(self, records: Records) -> list[Level]:
        """Return the trials by week."""
        finding = self.finding
        last, seeds = finding.name(finding.levels), finding.seeds
        share = fmean(records[last, seed, "ticket"]["remaining"] for seed in seeds)
        return [
            Level(
                share,
                {seed: _trials_of_week(records, week, seed) for seed in seeds},
                _week_name(week),
            )
            for week in range(2, self.weeks + 1)
        ]

    def result(self, records: Records) -> dict[str, Any]:
        """Return accuracy by week, MACs spent, and a verdict."""
        levels, cost = self.levels_of(records), self._cost(records)
        return {
            "method": f"a ticket of the first of {self.weeks} weeks, level {self.finding.levels}",
            "by": "week",
            "levels": [level_json(level) for level in levels],
            "training_macs": cost.to_json(self.weeks),
            "verdict": continual_verdict(levels, self.weeks, cost.pays_after),
        }

    def _cost(self, records: Records) -> TrainingCost:
        def total(keys: Iterable[Key]) -> int:
            return round(fmean([records[key]["macs"] for key in keys]))

        seeds = self.finding.seeds
        names = [self.finding.name(level) for level in range(self.finding.levels + 1)]
        finding = [total((name, seed, "ticket") for seed in seeds) for name in names]
        ticket, dense = (
            total((_week_name(2), seed, kind) for seed in seeds) for kind in ("ticket", "dense")
        )
        return TrainingCost(sum(finding), finding[0], ticket, dense)

    @cached_property
    def _structure(self) -> Structure:
        example = on_device(
            self.experiment.data.example(self.experiment.task), self.experiment.device
        )
        return analyze(self.experiment.network(0), example)


def week_splits(experiment: Experiment, week: int, weeks: int) -> Splits:
    """Return the splits of a week, counted from 1: its slice of the training split."""
    train = experiment.splits.train
    ends = [round(len(train) * part / weeks) for part in (week - 1, week)]
    return experiment.splits._replace(train=train.part(*ends))


def _week_name(week: int) -> str:
    return f"week-{week:02d}"
