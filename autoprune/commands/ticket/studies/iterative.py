"""Study of iterative magnitude pruning: train, prune, rewind, train again, with controls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from torch import Tensor

from autoprune.commands.ticket.evidence.barrier import barrier
from autoprune.commands.ticket.evidence.summary import Level, TrialsByKind, level_json
from autoprune.commands.ticket.evidence.verdict import verdict
from autoprune.commands.ticket.jobs import Job, Record, Records, Tick, folder
from autoprune.commands.ticket.masks import (
    Masks,
    kept_fraction,
    output_layer,
    prune_by_layer,
    prune_globally,
)
from autoprune.commands.ticket.ticket import FACTS, Ticket, require_fit
from autoprune.commands.ticket.training.experiment import TWIN, Experiment, Seeds
from autoprune.commands.ticket.training.trial import trial_of
from autoprune.errors import UsageError

CONTROLS = ("reinit", "shuffled")
"""Controls of a ticket at every level, besides the dense network (level 0)."""


@dataclass(frozen=True)
class MagnitudePruning:
    """Pruning of the smallest weights: ``rate`` of those left in every round, by ``scope``."""

    rate: float = 0.2
    scope: str = "layerwise"

    def __call__(
        self, weights: Mapping[str, Tensor], masks: Mapping[str, Tensor], rounds: int = 1
    ) -> Masks:
        """Return masks without the smallest weights; raise DamagedError if they do not fit."""
        require_fit(weights, masks, "the trained weights of a ticket")
        pruned = dict(masks)
        for _ in range(rounds):
            if self.scope == "global":
                spared = {output_layer(pruned)}
                pruned = prune_globally(weights, pruned, self.rate, spared=spared)
            else:
                pruned = prune_by_layer(weights, pruned, self.rate)
        return pruned


@dataclass(frozen=True)
class Iterative:
    """Study of iterative pruning: tickets and controls at every level, for every seed.

    ``one_shot`` prunes the dense network for every level, to as many weights as iterative pruning
    would leave. ``controls`` are the kinds of training besides the tickets.
    """

    experiment: Experiment
    pruning: MagnitudePruning
    levels: int
    seeds: range
    one_shot: bool = False
    controls: tuple[str, ...] = CONTROLS
    prefix: str = ""

    def name(self, level: int) -> str:
        """Return the name of a level's mask."""
        return f"{self.prefix}level-{level:02d}"

    def twin(self, level: int) -> str:
        """Return the name of the ticket of a level's twin; only that of level 0 is stored."""
        return f"{self.name(level)}-{TWIN}"

    def jobs(self) -> list[Job]:
        """List the trainings: all seeds of a level before the next."""
        jobs = []
        for level in range(self.levels + 1):
            for seed in self.seeds:
                jobs.append(self._job(level, seed, "ticket"))
                jobs += [
                    self._job(level, seed, kind)
                    for kind in self.controls
                    if level or kind != "shuffled"
                ]
        return jobs

    def carry_out(self, job: Job, home: Path, tick: Tick) -> Record:
        """Train one network of a level."""
        ticket = self.draw(int(job.mask[-2:]), job.seed, home)
        outcome = self.experiment.train_ticket(job, ticket, home, tick)
        if job.stores:
            self.experiment.store(job, home, outcome.ticket, outcome.trial)
        if job.kind == TWIN:
            if job.mask == self.name(0):
                twin = job._replace(mask=self.twin(0))
                self.experiment.store(twin, home, outcome.ticket, outcome.trial)
            other = Ticket.load(folder(home, job.seed, job.mask)).trained
            height = barrier(self.experiment, other, outcome.ticket.trained)
            outcome.record["barrier"] = height.to_json()
        return outcome.record

    def draw(self, level: int, seed: int, home: Path) -> Ticket:
        """Draw the masks of a level from the trained weights of the one before.

        Raises UsageError if nothing is left to prune.
        """
        if level == 0:
            return self._dense(seed, home)
        before = Ticket.load(folder(home, seed, self.name(0 if self.one_shot else level - 1)))
        masks = self.pruning(before.trained, before.masks, level if self.one_shot else 1)
        if kept_fraction(masks) == kept_fraction(before.masks):
            raise UsageError(
                f"level {level} has nothing left to prune", "ask for fewer levels, or another rate"
            )
        return replace(before, masks=masks)

    def levels_of(self, records: Records) -> list[Level]:
        """Return the trials by level."""
        return [
            Level(
                fmean(
                    records[self.name(level), seed, "ticket"]["remaining"] for seed in self.seeds
                ),
                {seed: self.trials(records, level, seed) for seed in self.seeds},
            )
            for level in range(self.levels + 1)
        ]

    def result(self, records: Records) -> dict[str, Any]:
        """Return figures by level and a verdict."""
        levels = self.levels_of(records)
        return {
            "method": "one-shot" if self.one_shot else "iterative",
            "levels": [level_json(level) for level in levels],
            "verdict": verdict(levels[1:]),
        }

    def trials(self, records: Records, level: int, seed: int) -> TrialsByKind:
        """Return the trials of a seed at a level; the dense one is the ticket of level 0.

        At level 0 nothing can be shuffled: the dense trial takes that place as well.
        """
        dense = trial_of(records[self.name(0), seed, "ticket"])
        kinds = [kind for kind in self.controls if kind != TWIN]
        trials = {"ticket": trial_of(records[self.name(level), seed, "ticket"]), "dense": dense}
        for kind in kinds:
            record = records.get((self.name(level), seed, kind))
            trials[kind] = trial_of(record) if record else dense
        return trials

    def _job(self, level: int, seed: int, kind: str) -> Job:
        before = 0 if self.one_shot else level - 1
        needs = [(self.name(before), seed, "ticket")] if level else []
        if kind == TWIN:
            needs.append((self.name(level), seed, "ticket"))
        late = self.experiment.rewind if (level and kind != "reinit") or kind == TWIN else 0
        steps = self.experiment.steps - late
        draws = (self.twin(0),) if kind == TWIN and not level else ()
        return Job(self.name(level), seed, kind, steps, tuple(needs), kind == "ticket", draws)

    def _dense(self, seed: int, home: Path) -> Ticket:
        """Return the dense network as a ticket, with its rewound weights if they exist."""
        stored = folder(home, seed, self.name(0))
        if self.experiment.rewind and (stored / FACTS).is_file():
            return Ticket.load(stored)
        return self.experiment.dense(self.experiment.weights(Seeds.of(seed).init))
