"""Transfer: a ticket found on one data set is trained on another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any

from torch import Tensor

from autoprune.commands.ticket import masks as m
from autoprune.commands.ticket.experiment import Seeds, Setting
from autoprune.commands.ticket.iterative import Iterative
from autoprune.commands.ticket.jobs import Job, Record, Records, Tick, folder
from autoprune.commands.ticket.summary import Group, Trials, level_json
from autoprune.commands.ticket.ticket import Ticket, Weights
from autoprune.commands.ticket.trial import trial_of
from autoprune.commands.ticket.verdict import transfer_verdict
from autoprune.errors import UsageError

MOVED = "transferred"
"""The mask from elsewhere; the folder of its ticket."""


@dataclass(frozen=True)
class Transfer:
    """Tickets of the last level, found on the data of ``source`` and trained on those of ``own``.

    Both find tickets by the same pruning, from the same initial weights where shapes agree.
    """

    source: Iterative
    own: Iterative

    @cached_property
    def setting(self) -> Setting:
        """What the tickets are trained on; raises UsageError if they do not fit it."""
        fitting(self.source.setting, self.own.setting)
        return self.own.setting

    def jobs(self) -> list[Job]:
        """List the trainings: tickets there, tickets here, the one from there and its controls."""
        steps, late = self.setting.steps, self.setting.steps - self.setting.rewind
        last = self.source.name(self.source.levels)
        moved = [
            Job(MOVED, seed, kind, length, ((last, seed, "ticket"),), kind == "ticket")
            for seed in self.source.seeds
            for kind, length in (("ticket", late), ("reinit", steps), ("shuffled", late))
        ]
        return [*self.source.jobs(), *self.own.jobs(), *moved]

    def carry_out(self, job: Job, home: Path, tick: Tick) -> Record:
        """Train one network."""
        if job.mask.startswith(self.source.prefix):
            return self.source.carry_out(job, home, tick)
        if job.mask != MOVED:
            return self.own.carry_out(job, home, tick)
        there = self.source.name(self.source.levels)
        ticket = self.adapt(Ticket.load(folder(home, job.seed, there)), job.seed)
        found = self.setting.start(job, ticket, home, tick)
        if job.stores:
            self.setting.store(job, home, found.ticket, found.trial)
            own = Ticket.load(folder(home, job.seed, self.own.name(self.own.levels)))
            found.record["overlap"] = _overlap(ticket.masks, own.masks)
        return found.record

    def adapt(self, ticket: Ticket, seed: int) -> Ticket:
        """Fit a ticket to the network of these data.

        Where classes differ the output layer is another: it is taken as it is here, with fresh
        weights that nothing prunes (Morcos et al. 2019, section 3).
        """
        here = self.setting.weights(Seeds.of(seed).init)
        full = m.full(self.setting.network(0))
        masks = {
            name: mask if mask.shape == full[name].shape else full[name]
            for name, mask in ticket.masks.items()
        }
        initial, rewound = (_filled(here, found) for found in (ticket.initial, ticket.rewound))
        return replace(ticket, masks=masks, initial=initial, rewound=rewound, trained={})

    def groups(self, records: Records) -> list[Group]:
        """Return the trainings of the ticket from elsewhere and what it is compared with."""
        share = fmean(records[MOVED, seed, "ticket"]["remaining"] for seed in self.own.seeds)
        return [Group(share, {seed: self._trials(records, seed) for seed in self.own.seeds}, MOVED)]

    def result(self, records: Records) -> dict[str, Any]:
        """Return the figures of the last level here, and a verdict."""
        (group,) = self.groups(records)
        own = self.own.name(self.own.levels)
        return {
            "method": f"tickets of level {self.source.levels}, found elsewhere",
            "levels": [level_json(group)],
            "own_remaining": fmean(
                records[own, seed, "ticket"]["remaining"] for seed in self.own.seeds
            ),
            "overlap": [
                {"seed": seed, "layers": records[MOVED, seed, "ticket"]["overlap"]}
                for seed in self.own.seeds
            ],
            "verdict": transfer_verdict(group.trials),
        }

    def _trials(self, records: Records, seed: int) -> Trials:
        keys = {kind: (MOVED, seed, kind) for kind in ("ticket", "reinit", "shuffled")}
        keys = {
            "ticket": keys["ticket"],
            "dense": (self.own.name(0), seed, "ticket"),
            **keys,
            "own": (self.own.name(self.own.levels), seed, "ticket"),
        }
        return {kind: trial_of(records[key]) for kind, key in keys.items()}


def fitting(source: Setting, target: Setting) -> None:
    """Raise UsageError unless two networks differ in their output layer at most."""
    there, here = m.full(source.network(0)), m.full(target.network(0))
    output = m.output_layer(here)
    for name, mask in here.items():
        shape = list(there[name].shape) if name in there else "nothing"
        if name != output and shape != list(mask.shape):
            raise UsageError(
                f"a ticket of {source.data.name} does not fit {target.data.name}: {name} is"
                f" {shape} there and {list(mask.shape)} here",
                "inputs must have the same size; only the number of classes may differ",
            )


def _filled(here: Weights, found: Weights) -> dict[str, Tensor]:
    return {
        name: found[name] if name in found and found[name].shape == value.shape else value
        for name, value in here.items()
    }


def _overlap(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> dict[str, float]:
    """Return what both keep, by layer, as a part of what the smaller one keeps."""
    return {name: m.overlap({name: mask}, {name: other[name]}) for name, mask in one.items()}
