"""What networks are trained on, and how: everything that all trainings of a study share."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from autoprune.commands.ticket import masks as m
from autoprune.commands.ticket.jobs import Job, Tick, checkpoint, folder
from autoprune.commands.ticket.monitor import Look
from autoprune.commands.ticket.ticket import Ticket, Weights, fill
from autoprune.commands.ticket.trial import Splits, Training, Trial, train
from autoprune.data import Data
from autoprune.data.task import Task
from autoprune.networks.save import state_tensors
from autoprune.networks.spec import ModelSpec
from autoprune.training.checkpoint import Checkpoint
from autoprune.training.loop import FitConfig

TWIN = "twin"
"""The training of a ticket once more, with the batches in another order."""


@dataclass(frozen=True)
class Seeds:
    """One seed for each thing that is random; ``order`` also serves augmentation and dropout.

    ``twin`` is another order of the data; ``split`` draws what is held out, if anything does.
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


class Outcome(NamedTuple):
    """What a training leaves: the ticket as trained, figures, and the journal's record."""

    ticket: Ticket
    trial: Trial
    record: dict[str, Any]


@dataclass(frozen=True)
class Setting:
    """A network, data, a task, and how the one is trained on the other.

    ``rewind`` is the iteration that tickets start from.
    """

    spec: ModelSpec
    data: Data
    splits: Splits
    task: Task
    device: torch.device
    fit: FitConfig
    rewind: int = 0

    @property
    def steps(self) -> int:
        """Iterations of a whole training."""
        return replace(self.fit, first=0).length(len(self.splits.train))

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
        also: Look | None = None,
        checkpoint: Checkpoint | None = None,
    ) -> Training:
        """Train ``network`` in place, with the batches in the order that the seed ``order`` gives.

        ``first`` iterations count as done. The weights after the iterations in ``keep`` are
        returned; ``also`` is shown the network after every iteration.
        """
        config = replace(self.fit, seed=order, first=first)
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
        )

    def start(
        self, job: Job, ticket: Ticket, home: Path, tick: Tick, *, also: Look | None = None
    ) -> Outcome:
        """Train a ticket, or a control of it, as the kind of the job says.

        - ``reinit``: the same mask on fresh weights, from iteration 0.
        - ``shuffled``: the weights of the ticket, as many in every layer, at random places.
        - ``twin``: the ticket, with the batches in another order.

        All others of a seed see the same batches in the same order.
        """
        seeds, first = Seeds.of(job.seed), self.steps - job.steps
        network = self.network(seeds.reinit if job.kind == "reinit" else seeds.init)
        if job.kind != "reinit":
            fill(network, ticket.rewound if first else ticket.initial)
        shuffled = job.kind == "shuffled"
        masks = m.shuffled(ticket.masks, seeds.shuffle) if shuffled else ticket.masks
        order = seeds.twin if job.kind == TWIN else seeds.order
        found = self.train(
            network,
            order,
            tick,
            masks=masks,
            first=first,
            keep=(self.rewind,),
            also=also,
            # What else looks on has a state of its own, which no checkpoint holds.
            checkpoint=None if also else checkpoint(job, home),
        )
        rewound = found.kept.get(self.rewind) or ticket.rewound
        done = replace(ticket, trained=state_tensors(network), rewound=rewound)
        return Outcome(done, found.trial, found.trial.record(job, m.remaining(ticket.masks)))

    def dense(self, initial: Weights) -> Ticket:
        """Return the ticket that keeps everything."""
        return Ticket(m.full(self.network(0)), initial, initial, {}, self.rewind)

    def store(self, job: Job, home: Path, ticket: Ticket, trial: Trial) -> None:
        """Store the ticket that a training leaves, with what it came to."""
        facts = {
            "mask": job.mask,
            "network": self.spec.to_json(),
            "source": {"data": self.data.name, "fingerprint": self.data.fingerprint},
            "seeds": {"base": job.seed, **asdict(Seeds.of(job.seed))},
            "training": asdict(self.fit),
            "accuracy": trial.accuracy,
            "early_stop": trial.early_stop,
        }
        replace(ticket, facts=facts).save(folder(home, job.seed, job.mask))
