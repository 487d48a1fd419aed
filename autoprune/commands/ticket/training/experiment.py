"""Experiment: network, data, task and recipe that all trainings of a study share."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from autoprune.commands.ticket.jobs import Job, Tick, checkpoint, folder
from autoprune.commands.ticket.masks import full_masks, kept_fraction, shuffled_masks
from autoprune.commands.ticket.ticket import Ticket, Weights, fill
from autoprune.commands.ticket.training.monitor import Observer
from autoprune.commands.ticket.training.trial import Splits, TicketTrial, TrialOutcome, train
from autoprune.data import Data
from autoprune.data.task import Task
from autoprune.networks.save import state_tensors
from autoprune.networks.spec import ModelSpec
from autoprune.training.checkpoint import Checkpoint
from autoprune.training.config import FitConfig
from autoprune.training.loop import fit

TWIN = "twin"
"""Kind of training: the ticket once more, with the batches in another order."""


@dataclass(frozen=True)
class Seeds:
    """Seeds, one for each thing that is random; ``order`` also serves augmentation and dropout.

    ``twin`` is another order of the data.
    """

    init: int
    order: int
    reinit: int
    shuffle: int
    twin: int

    @classmethod
    def of(cls, seed: int) -> Seeds:
        """Derive independent seeds from one."""
        return cls(*(int(word) for word in np.random.SeedSequence(seed).generate_state(5)))


class JobOutcome(NamedTuple):
    """Outcome of a job: the ticket as trained, its figures, and the record for the journal."""

    ticket: Ticket
    trial: TicketTrial
    record: dict[str, Any]


@dataclass(frozen=True)
class Experiment:
    """Network, data and task, with the recipe of training.

    ``rewind`` is the rewind point: the iteration whose weights tickets start from. ``loop`` is the
    training loop, with the interface of :func:`autoprune.training.loop.fit`.
    """

    spec: ModelSpec
    data: Data
    splits: Splits
    task: Task
    device: torch.device
    recipe: FitConfig
    rewind: int = 0
    loop: Callable[..., object] = fit

    @property
    def steps(self) -> int:
        """Iterations of a whole training."""
        return replace(self.recipe, first=0).length(len(self.splits.train))

    def network(self, seed: int) -> nn.Module:
        """Build the network with initial weights that depend on ``seed`` only."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self.spec.build(trust_code=True).to(self.device)

    def weights(self, seed: int) -> dict[str, Tensor]:
        """Return initial weights that depend on ``seed`` only."""
        return {name: value.clone() for name, value in state_tensors(self.network(seed)).items()}

    def train(
        self,
        network: nn.Module,
        order: int,
        tick: Tick,
        *,
        masks: Mapping[str, Tensor] | None = None,
        first: int = 0,
        keep: Collection[int] = (),
        also: Observer | None = None,
        checkpoint: Checkpoint | None = None,
        select: bool = False,
    ) -> TrialOutcome:
        """Train ``network`` in place, with the batches in the order that the seed ``order`` gives.

        ``first`` iterations count as done. The weights after the iterations in ``keep`` are
        returned; ``also`` is called with the network after every iteration. With ``select`` the
        best weights are those at the end.
        """
        config = replace(self.recipe, seed=order, first=first)
        return train(
            network,
            self.splits,
            self.task,
            config,
            tick,
            masks=masks,
            keep=keep,
            also=also,
            checkpoint=checkpoint,
            select=select,
            loop=self.loop,
        )

    def train_ticket(
        self, job: Job, ticket: Ticket, home: Path, tick: Tick, *, also: Observer | None = None
    ) -> JobOutcome:
        """Train a ticket or one of its controls, depending on the kind of the job.

        - ``reinit``: the same mask on fresh weights, from iteration 0.
        - ``shuffled``: the initial weights, as many in every layer, at random positions.
        - ``twin``: the ticket, with the batches in another order.

        All trainings of a seed but the twin see the same batches in the same order.
        """
        seeds, first = Seeds.of(job.seed), self.steps - job.steps
        network = self.network(seeds.reinit if job.kind == "reinit" else seeds.init)
        if job.kind != "reinit":
            fill(network, ticket.rewound if first else ticket.initial)
        shuffled = job.kind == "shuffled"
        masks = shuffled_masks(ticket.masks, seeds.shuffle) if shuffled else ticket.masks
        order = seeds.twin if job.kind == TWIN else seeds.order
        outcome = self.train(
            network,
            order,
            tick,
            masks=masks,
            first=first,
            keep=(self.rewind,),
            also=also,
            # Another observer has a state of its own, which no checkpoint holds.
            checkpoint=None if also else checkpoint(job, home),
        )
        rewound = outcome.kept.get(self.rewind) or ticket.rewound
        trained = replace(ticket, trained=state_tensors(network), rewound=rewound)
        return JobOutcome(
            trained, outcome.trial, outcome.trial.record(job, kept_fraction(ticket.masks))
        )

    def dense(self, initial: Weights) -> Ticket:
        """Return the ticket that keeps everything."""
        return Ticket(full_masks(self.network(0)), initial, initial, {}, self.rewind)

    def store(self, job: Job, home: Path, ticket: Ticket, trial: TicketTrial) -> None:
        """Store the trained ticket of a job, with its accuracy and early-stop iteration."""
        facts = {
            "mask": job.mask,
            "network": self.spec.to_json(),
            "source": {"data": self.data.name, "fingerprint": self.data.fingerprint},
            "seeds": {"base": job.seed, **asdict(Seeds.of(job.seed))},
            "training": asdict(self.recipe),
            "accuracy": trial.accuracy,
            "early_stop": trial.early_stop,
        }
        replace(ticket, facts=facts).save(folder(home, job.seed, job.mask))
