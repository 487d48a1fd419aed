"""Study of transfer: a ticket found on one data set is trained on another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any

from torch import Tensor

from autoprune.commands.ticket.evidence.summary import Level, TrialsByKind, level_json
from autoprune.commands.ticket.evidence.verdict import transfer_verdict
from autoprune.commands.ticket.jobs import Job, Record, Records, Tick, folder
from autoprune.commands.ticket.masks import full_masks, mask_overlap, output_layer
from autoprune.commands.ticket.studies.iterative import Iterative
from autoprune.commands.ticket.ticket import Ticket, Weights
from autoprune.commands.ticket.training.experiment import Experiment, Seeds
from autoprune.commands.ticket.training.trial import trial_of
from autoprune.errors import UsageError

TRANSFERRED = "transferred"
"""Name of the mask found on the other data, and folder of its ticket."""


@dataclass(frozen=True)
class Transfer:
    """Study of tickets found on the data of ``source`` and trained on those of ``own``.

    The tickets are those of the last level. Both experiments find theirs by the same pruning, from
    the same initial weights where shapes agree.
    """

    source: Iterative
    own: Iterative

    @cached_property
    def experiment(self) -> Experiment:
        """Experiment that the tickets are trained in; raises UsageError if they do not fit it."""
        check_fit(self.source.experiment, self.own.experiment)
        return self.own.experiment

    def jobs(self) -> list[Job]:
        """List the trainings: tickets of both data sets, the transferred one and its controls."""
        steps, late = self.experiment.steps, self.experiment.steps - self.experiment.rewind
        last = self.source.name(self.source.levels)
        transferred = [
            Job(TRANSFERRED, seed, kind, length, ((last, seed, "ticket"),), kind == "ticket")
            for seed in self.source.seeds
            for kind, length in (("ticket", late), ("reinit", steps), ("shuffled", late))
        ]
        return [*self.source.jobs(), *self.own.jobs(), *transferred]

    def carry_out(self, job: Job, home: Path, tick: Tick) -> Record:
        """Train one network."""
        if job.mask.startswith(self.source.prefix):
            return self.source.carry_out(job, home, tick)
        if job.mask != TRANSFERRED:
            return self.own.carry_out(job, home, tick)
        last = self.source.name(self.source.levels)
        ticket = self.adapt(Ticket.load(folder(home, job.seed, last)), job.seed)
        outcome = self.experiment.train_ticket(job, ticket, home, tick)
        if job.stores:
            self.experiment.store(job, home, outcome.ticket, outcome.trial)
            own = Ticket.load(folder(home, job.seed, self.own.name(self.own.levels)))
            outcome.record["overlap"] = _layer_overlaps(ticket.masks, own.masks)
        return outcome.record

    def adapt(self, ticket: Ticket, seed: int) -> Ticket:
        """Return a ticket that fits the network of the new data.

        If the number of classes differs, the output layer is replaced by an unpruned one with
        fresh weights (Morcos et al. 2019, section 3).
        """
        here = self.experiment.weights(Seeds.of(seed).init)
        full = full_masks(self.experiment.network(0))
        masks = {
            name: mask if mask.shape == full[name].shape else full[name]
            for name, mask in ticket.masks.items()
        }
        initial, rewound = (_adapted(here, weights) for weights in (ticket.initial, ticket.rewound))
        return replace(ticket, masks=masks, initial=initial, rewound=rewound, trained={})

    def levels_of(self, records: Records) -> list[Level]:
        """Return the trials of the transferred ticket and of its controls."""
        share = fmean(records[TRANSFERRED, seed, "ticket"]["remaining"] for seed in self.own.seeds)
        return [
            Level(
                share, {seed: self._trials(records, seed) for seed in self.own.seeds}, TRANSFERRED
            )
        ]

    def result(self, records: Records) -> dict[str, Any]:
        """Return the figures of the last level on the new data, and a verdict."""
        (level,) = self.levels_of(records)
        own = self.own.name(self.own.levels)
        return {
            "method": f"tickets of level {self.source.levels}, found elsewhere",
            "levels": [level_json(level)],
            "own_remaining": fmean(
                records[own, seed, "ticket"]["remaining"] for seed in self.own.seeds
            ),
            "overlap": [
                {"seed": seed, "layers": records[TRANSFERRED, seed, "ticket"]["overlap"]}
                for seed in self.own.seeds
            ],
            "verdict": transfer_verdict(level.trials),
        }

    def _trials(self, records: Records, seed: int) -> TrialsByKind:
        keys = {kind: (TRANSFERRED, seed, kind) for kind in ("ticket", "reinit", "shuffled")}
        keys = {
            "ticket": keys["ticket"],
            "dense": (self.own.name(0), seed, "ticket"),
            **keys,
            "own": (self.own.name(self.own.levels), seed, "ticket"),
        }
        return {kind: trial_of(records[key]) for kind, key in keys.items()}


def check_fit(source: Experiment, target: Experiment) -> None:
    """Raise UsageError unless two networks differ in their output layer at most."""
    there, here = full_masks(source.network(0)), full_masks(target.network(0))
    output = output_layer(here)
    for name, mask in here.items():
        shape = list(there[name].shape) if name in there else "nothing"
        if name != output and shape != list(mask.shape):
            raise UsageError(
                f"a ticket of {source.data.name} does not fit {target.data.name}: {name} is"
                f" {shape} there and {list(mask.shape)} here",
                "inputs must have the same size; only the number of classes may differ",
            )


def _adapted(here: Weights, there: Weights) -> dict[str, Tensor]:
    return {
        name: there[name] if name in there and there[name].shape == value.shape else value
        for name, value in here.items()
    }


def _layer_overlaps(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> dict[str, float]:
    """Return the overlap of two masks by layer."""
    return {name: mask_overlap({name: mask}, {name: other[name]}) for name, mask in one.items()}
