"""Continued use: a ticket found once, in the first week, is trained on the data of every later one.

The training split is cut, in the order it is stored in, into as many slices as there are weeks.
Every week a network is trained from the same initial (or rewound) weights on that week's slice
alone: the dense one, the ticket, and the ticket's controls.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any, Final

from autoprune.commands.ticket.experiment import Setting
from autoprune.commands.ticket.iterative import Iterative
from autoprune.commands.ticket.jobs import Job, Key, Record, Records, Tick, folder
from autoprune.commands.ticket.search_mask import masked_macs
from autoprune.commands.ticket.summary import Group, Trials, level_json
from autoprune.commands.ticket.ticket import Ticket
from autoprune.commands.ticket.trial import Splits, trial_of
from autoprune.commands.ticket.verdict import weekly_verdict
from autoprune.pipeline.inputs import on_device
from autoprune.structure import Structure
from autoprune.structure.analyze import analyze

PASSES: Final = 3
"""Forward passes that an iteration of training costs: the backward pass takes two."""

KINDS: Final = ("ticket", "dense", "reinit", "shuffled")


@dataclass(frozen=True)
class Spent:
    """Multiply-adds of training, means over seeds; a weight at zero costs nothing.

    ``finding`` holds all trainings of the first week, the first of them (``first``) the dense one,
    which is needed anyway; ``ticket`` and ``dense`` are those of one later week.
    """

    finding: int
    first: int
    ticket: int
    dense: int

    @property
    def pays_after(self) -> int | None:
        """Weeks, the first counted, after which the ticket has cost less; None if it never does."""
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


def _trials(records: Records, week: int, seed: int) -> Trials:
    return {kind: trial_of(records[_week(week), seed, kind]) for kind in KINDS}


@dataclass(frozen=True)
class Weekly:
    """``finding`` finds the tickets on the first of ``weeks`` slices; ``setting`` has all data."""

    setting: Setting
    finding: Iterative
    weeks: int

    def jobs(self) -> list[Job]:
        """List the trainings: those that find the tickets, then week by week."""
        steps, late = self.setting.steps, self.setting.steps - self.setting.rewind
        last = self.finding.name(self.finding.levels)
        return self.finding.jobs() + [
            Job(
                _week(week),
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
        """Train one network and count what an iteration of it costs."""
        last = self.finding.levels if job.kind != "dense" else 0
        if job.mask.startswith("week-"):
            ticket = Ticket.load(folder(home, job.seed, self.finding.name(last)))
            splits = weekly(self.setting, int(job.mask[-2:]), self.weeks)
            found = replace(self.setting, splits=splits).start(job, ticket, home, tick)
            record, masks = found.record, ticket.masks
        else:
            record = dict(self.finding.carry_out(job, home, tick))
            masks = Ticket.load(folder(home, job.seed, job.mask)).masks
        macs = masked_macs(self._structure, masks) * PASSES * self.setting.fit.batch_size
        return {**record, "macs": round(macs * job.steps)}

    def groups(self, records: Records) -> list[Group]:
        """Return the trainings by week."""
        finding = self.finding
        last, seeds = finding.name(finding.levels), finding.seeds
        share = fmean(records[last, seed, "ticket"]["remaining"] for seed in seeds)
        return [
            Group(share, {seed: _trials(records, week, seed) for seed in seeds}, _week(week))
            for week in range(2, self.weeks + 1)
        ]

    def result(self, records: Records) -> dict[str, Any]:
        """Return accuracy by week, MACs spent, and a verdict."""
        groups, spent = self.groups(records), self._spent(records)
        return {
            "method": f"a ticket of the first of {self.weeks} weeks, level {self.finding.levels}",
            "by": "week",
            "levels": [level_json(group) for group in groups],
            "training_macs": spent.to_json(self.weeks),
            "verdict": weekly_verdict(groups, self.weeks, spent.pays_after),
        }

    def _spent(self, records: Records) -> Spent:
        def total(keys: Iterable[Key]) -> int:
            return round(fmean([records[key]["macs"] for key in keys]))

        seeds = self.finding.seeds
        names = [self.finding.name(level) for level in range(self.finding.levels + 1)]
        finding = [total((name, seed, "ticket") for seed in seeds) for name in names]
        ticket, dense = (
            total((_week(2), seed, kind) for seed in seeds) for kind in ("ticket", "dense")
        )
        return Spent(sum(finding), finding[0], ticket, dense)

    @cached_property
    def _structure(self) -> Structure:
        example = on_device(self.setting.data.example(self.setting.task), self.setting.device)
        return analyze(self.setting.network(0), example)


def weekly(setting: Setting, week: int, weeks: int) -> Splits:
    """Return the splits of a week, counted from 1: its slice of the training split."""
    train = setting.splits.train
    ends = [round(len(train) * part / weeks) for part in (week - 1, week)]
    return setting.splits._replace(train=train.part(*ends))


def _week(week: int) -> str:
    return f"week-{week:02d}"
