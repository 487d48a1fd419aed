"""Iterative magnitude pruning with its controls: train, prune, rewind, train again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from torch import Tensor

from autoprune.commands.ticket import masks as m
from autoprune.commands.ticket.barrier import barrier
from autoprune.commands.ticket.experiment import TWIN, Seeds, Setting
from autoprune.commands.ticket.jobs import Job, Record, Records, Tick, folder
from autoprune.commands.ticket.summary import Group, Trials, level_json
from autoprune.commands.ticket.ticket import FACTS, Ticket
from autoprune.commands.ticket.trial import trial_of
from autoprune.commands.ticket.verdict import verdict
from autoprune.errors import UsageError

CONTROLS = ("reinit", "shuffled")
"""What a ticket is compared with at every level, beside the dense network (level 0)."""


@dataclass(frozen=True)
class Pruning:
    """How weights are taken away: ``rate`` of those left in every round, by ``scope``."""

    rate: float = 0.2
    scope: str = "layerwise"

    def __call__(
        self, weights: Mapping[str, Tensor], masks: Mapping[str, Tensor], rounds: int = 1
    ) -> m.Masks:
        """Take the smallest weights away."""
        pruned = dict(masks)
        for _ in range(rounds):
            if self.scope == "global":
                spared = {m.output_layer(pruned)}
                pruned = m.prune_globally(weights, pruned, self.rate, spared=spared)
            else:
                pruned = m.prune_by_layer(weights, pruned, self.rate)
        return pruned


@dataclass(frozen=True)
class Iterative:
    """Tickets at every level, for every seed.

    ``one_shot`` prunes the dense network for every level anew, down to as many weights as level
    after level would leave. ``controls`` are the kinds of training beside the tickets.
    """

    setting: Setting
    pruning: Pruning
    levels: int
    seeds: range
    one_shot: bool = False
    controls: tuple[str, ...] = CONTROLS
    prefix: str = ""

    def name(self, level: int) -> str:
        """Name the mask of a level."""
        return f"{self.prefix}level-{level:02d}"

    def twin(self, level: int) -> str:
        """Name the place where the twin of a level is kept; that of the dense network is."""
        return f"{self.name(level)}-{TWIN}"

    def jobs(self) -> list[Job]:
        """List the trainings: all seeds of a level before the next."""
        found = []
        for level in range(self.levels + 1):
            for seed in self.seeds:
                found.append(self._job(level, seed, "ticket"))
                found += [
                    self._job(level, seed, kind)
                    for kind in self.controls
                    if level or kind != "shuffled"
                ]
        return found

    def carry_out(self, job: Job, home: Path, tick: Tick) -> Record:
        """Train one network of a level."""
        found = self.setting.start(job, self.draw(int(job.mask[-2:]), job.seed, home), home, tick)
        if job.stores:
            self.setting.store(job, home, found.ticket, found.trial)
        if job.kind == TWIN:
            if job.mask == self.name(0):
                self.setting.store(job._replace(mask=self.twin(0)), home, found.ticket, found.trial)
            other = Ticket.load(folder(home, job.seed, job.mask)).trained
            height = barrier(self.setting, other, found.ticket.trained)
            found.record["barrier"] = height.to_json()
        return found.record

    def draw(self, level: int, seed: int, home: Path) -> Ticket:
        """Draw the masks of a level from the trained weights of the one before.

        Raises UsageError if nothing is left to prune.
        """
        if level == 0:
            return self._dense(seed, home)
        before = Ticket.load(folder(home, seed, self.name(0 if self.one_shot else level - 1)))
        masks = self.pruning(before.trained, before.masks, level if self.one_shot else 1)
        if m.remaining(masks) == m.remaining(before.masks):
            raise UsageError(
                f"level {level} has nothing left to prune", "ask for fewer levels, or another rate"
            )
        return replace(before, masks=masks)

    def groups(self, records: Records) -> list[Group]:
        """Return the trainings by level."""
        return [
            Group(
                fmean(
                    records[self.name(level), seed, "ticket"]["remaining"] for seed in self.seeds
                ),
                {seed: self.trials(records, level, seed) for seed in self.seeds},
            )
            for level in range(self.levels + 1)
        ]

    def result(self, records: Records) -> dict[str, Any]:
        """Return figures by level and a verdict."""
        groups = self.groups(records)
        return {
            "method": "one-shot" if self.one_shot else "iterative",
            "levels": [level_json(group) for group in groups],
            "verdict": verdict(groups[1:]),
        }

    def trials(self, records: Records, level: int, seed: int) -> Trials:
        """Collect the trainings of a seed at a level; the dense one is the ticket of level 0.

        At level 0 nothing can be shuffled: the dense network stands for that as well.
        """
        dense = trial_of(records[self.name(0), seed, "ticket"])
        kinds = [kind for kind in self.controls if kind != TWIN]
        found = {"ticket": trial_of(records[self.name(level), seed, "ticket"]), "dense": dense}
        for kind in kinds:
            record = records.get((self.name(level), seed, kind))
            found[kind] = trial_of(record) if record else dense
        return found

    def _job(self, level: int, seed: int, kind: str) -> Job:
        before = 0 if self.one_shot else level - 1
        needs = [(self.name(before), seed, "ticket")] if level else []
        if kind == TWIN:
            needs.append((self.name(level), seed, "ticket"))
        late = self.setting.rewind if (level and kind != "reinit") or kind == TWIN else 0
        steps = self.setting.steps - late
        draws = (self.twin(0),) if kind == TWIN and not level else ()
        return Job(self.name(level), seed, kind, steps, tuple(needs), kind == "ticket", draws)

    def _dense(self, seed: int, home: Path) -> Ticket:
        """Return the dense network as a ticket; with the weights to rewind to, once they exist."""
        place = folder(home, seed, self.name(0))
        if self.setting.rewind and (place / FACTS).is_file():
            return Ticket.load(place)
        return self.setting.dense(self.setting.weights(Seeds.of(seed).init))
