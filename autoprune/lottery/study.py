"""Iterative magnitude pruning with its controls, one level of one seed at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from autoprune.data import Data
from autoprune.errors import UsageError
from autoprune.lottery import masks as m
from autoprune.lottery.ticket import Ticket, fill
from autoprune.lottery.trial import Splits, Trial, train
from autoprune.models import ModelSpec
from autoprune.recover import FitConfig
from autoprune.saving import tensors_of
from autoprune.task import Task

KINDS = ("ticket", "dense", "reinit", "shuffled")
"""What is trained at every level: the ticket, and what it is compared with."""


@dataclass(frozen=True)
class Seeds:
    """One seed for each thing that is random; ``order`` also serves augmentation and dropout."""

    init: int
    order: int
    reinit: int
    shuffle: int

    @classmethod
    def of(cls, seed: int) -> Seeds:
        """Derive independent seeds from one."""
        return cls(*(int(word) for word in np.random.SeedSequence(seed).generate_state(4)))


@dataclass(frozen=True)
class Study:
    """What is trained, on what, and how it is pruned.

    ``rewind`` is the iteration that tickets start from. ``one_shot`` prunes the dense network for
    every level anew, down to as many weights as level after level would leave.
    """

    spec: ModelSpec
    data: Data
    splits: Splits
    task: Task
    device: torch.device
    fit: FitConfig
    rate: float = 0.2
    scope: str = "layerwise"
    one_shot: bool = False
    rewind: int = 0

    def network(self, seed: int) -> nn.Module:
        """Build the network with initial weights that depend on ``seed`` only."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self.spec.build(trust_code=True).to(self.device)

    def level(self, number: int, seed: int, home: Path) -> dict[str, Any]:
        """Train one level of one seed and store its ticket below ``home``; return the record.

        Level 0 is the dense network, as ticket, shuffled ticket and dense control in one; levels
        above need the ticket of the level before, from ``home``. All trainings of a seed see the
        same batches in the same order.
        """
        seeds = Seeds.of(seed)
        ticket = self._dense(seeds) if number == 0 else self._pruned(number, seed, home)
        network = fill(self.network(seeds.init), ticket.rewound)
        found, weights = self._train(network, ticket.masks, seeds, self.rewind if number else 0)
        if number == 0 and self.rewind:
            ticket = replace(ticket, rewound=weights)
        trials = {"ticket": found}
        fresh = self.network(seeds.reinit)
        trials["reinit"], _ = self._train(fresh, ticket.masks, seeds, 0)
        if number:
            shuffled = m.shuffled(ticket.masks, seeds.shuffle)
            start = fill(self.network(seeds.init), ticket.rewound)
            trials["shuffled"], _ = self._train(start, shuffled, seeds, self.rewind)
        record = {
            "seed": seed,
            "level": number,
            "remaining": m.remaining(ticket.masks),
            "trials": {name: trial.to_json() for name, trial in trials.items()},
        }
        facts = {
            "level": number,
            "network": self.spec.to_json(),
            "source": {"data": self.data.name, "fingerprint": self.data.fingerprint},
            "seeds": {"base": seed, **asdict(seeds)},
            "training": asdict(self.fit),
            "accuracy": found.accuracy,
            "early_stop": found.early_stop,
        }
        replace(ticket, trained=tensors_of(network), facts=facts).save(folder(home, seed, number))
        return record

    def prune(self, weights: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> m.Masks:
        """Take one level's part of the smallest weights away."""
        if self.scope == "global":
            return m.prune_globally(weights, masks, self.rate, spared={m.output_layer(masks)})
        return m.prune_by_layer(weights, masks, self.rate)

    def _dense(self, seeds: Seeds) -> Ticket:
        network = self.network(seeds.init)
        initial = {name: value.clone() for name, value in tensors_of(network).items()}
        return Ticket(m.full(network), initial, initial, initial, self.rewind)

    def _pruned(self, number: int, seed: int, home: Path) -> Ticket:
        """Draw the masks of a level from the trained weights of the one before."""
        before = Ticket.load(folder(home, seed, 0 if self.one_shot else number - 1))
        masks: Mapping[str, Tensor] = before.masks
        for _ in range(number if self.one_shot else 1):
            masks = self.prune(before.trained, masks)
        if m.remaining(masks) == m.remaining(before.masks):
            raise UsageError(
                f"level {number} has nothing left to prune", "ask for fewer levels, or another rate"
            )
        return replace(before, masks=masks)

    def _train(
        self, network: nn.Module, masks: Mapping[str, Tensor], seeds: Seeds, first: int
    ) -> tuple[Trial, dict[str, Tensor]]:
        config = replace(self.fit, seed=seeds.order, first=first)
        return train(network, self.splits, self.task, config, masks, keep=self.rewind)


def folder(home: Path, seed: int, level: int) -> Path:
    """Return where the ticket of a seed and level lies."""
    return home / f"seed-{seed}" / f"level-{level:02d}"
