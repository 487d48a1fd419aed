"""``autoprune ticket --run``: train the mask of a search again, from seven different starts.

The networks of a channel mask are compact: the units that it removes are gone. The literature
expects that for such masks, and for ratios chosen per layer, "only ratios matter": that fresh
weights, or others in the same numbers, do as well (Liu et al. 2019; Frankle et al. 2021, "Pruning
Neural Networks at Initialization").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from autoprune.commands.ticket.experiment import Seeds, Setting
from autoprune.commands.ticket.jobs import Job, Record, Records, Tick, checkpoint, folder
from autoprune.commands.ticket.search_mask import Mask
from autoprune.commands.ticket.search_run import Source
from autoprune.commands.ticket.summary import Group, Trials, level_json
from autoprune.commands.ticket.ticket import Ticket, Weights, fill
from autoprune.commands.ticket.trial import trial_of
from autoprune.commands.ticket.verdict import mask_verdict
from autoprune.networks.save import state_tensors
from autoprune.training.config import FitConfig

SOFTER = 0.1
"""Learning rate of fine-tuning, as part of the peak in training."""

DENSE, MASK = "dense", "mask"

STARTS = ("ticket", "dense", "reinit", "shuffled", "reinit_same_flops", "finetune", "lr_rewind")
"""What is trained.

- ``ticket``: the initial weights that the mask keeps; ``dense``: all of them.
- ``reinit``: fresh weights in the same places; ``reinit_same_flops``: for as many iterations more
  as an iteration is cheaper than a dense one (Scratch-E and Scratch-B of Liu et al. 2019).
- ``shuffled``: the initial weights of other units, as many in every group; for masks of weights,
  other weights, as many in every layer.
- ``finetune``: the trained weights, at a tenth of the learning rate, falling; ``lr_rewind``: the
  trained weights, with the whole schedule again (Renda et al. 2020). Both had a training before.
"""


@dataclass(frozen=True)
class Retraining:
    """A mask to be trained again; ``setting`` says on what and how."""

    setting: Setting
    source: Source
    seeds: range

    @cached_property
    def mask(self) -> Mask:
        """The mask as it works on the network; raises UsageError if it does not fit."""
        return Mask.of(self.source, self.setting)

    def jobs(self) -> list[Job]:
        """List the trainings, seed by seed."""
        found = []
        for seed in self.seeds:
            dense = Job(DENSE, seed, "ticket", self.setting.steps, stores=True)
            needs = (dense.key,) if self.setting.rewind else ()
            for start in STARTS:
                if start == "dense":
                    found.append(dense)
                    continue
                late = self.setting.rewind if start in ("ticket", "shuffled") else 0
                steps = self._length(start) - late
                stores = start == "ticket"
                found.append(Job(MASK, seed, start, steps, needs if late else (), stores))
        return sorted(found, key=lambda job: (job.seed, bool(job.needs)))

    def carry_out(self, job: Job, home: Path, tick: Tick) -> Record:
        """Train one network. All trainings of a seed see the same batches in the same order."""
        setting, seeds, initial = self.setting, Seeds.of(job.seed), self.source.initial
        ticket = setting.dense(initial)
        if job.mask == MASK:
            rewound = initial
            if job.needs:
                rewound = Ticket.load(folder(home, job.seed, DENSE)).rewound
            ticket = replace(ticket, masks=self.mask.weights, rewound=rewound)
            network, masks = self._network(job.kind, seeds, rewound)
        else:
            network, masks = fill(setting.network(0), initial), None
        total = self._length(job.kind)
        job_setting = replace(setting, fit=self._fit(job.kind, total))
        found = job_setting.train(
            network,
            seeds.order,
            tick,
            masks=masks,
            first=total - job.steps,
            keep=(setting.rewind,),
            checkpoint=checkpoint(job, home),
        )
        if job.stores:
            if job.mask == DENSE:
                ticket = replace(ticket, rewound=found.kept.get(setting.rewind) or initial)
            trained = state_tensors(network)
            setting.store(job, home, replace(ticket, trained=trained), found.trial)
        return found.trial.record(job, 1.0 if job.mask == DENSE else self.mask.remaining)

    def groups(self, records: Records) -> list[Group]:
        """Return the trainings from every start."""
        seeds = {seed: self._trials(records, seed) for seed in self.seeds}
        return [Group(self.mask.remaining, seeds)]

    def result(self, records: Records) -> dict[str, Any]:
        """Return the figures of every start, and a verdict."""
        (group,) = self.groups(records)
        config = self.source.config
        return {
            "method": "the mask of a search: "
            f"{self.source.chosen_by}, {config.ranking}, {config.budget}",
            "granularity": str(self.source.granularity),
            "macs": round(self.mask.macs, 6),
            "levels": [level_json(group)],
            "verdict": mask_verdict(group.trials, channels=not self.source.granularity.masked),
        }

    def _trials(self, records: Records, seed: int) -> Trials:
        keys = {start: (MASK, seed, start) for start in STARTS} | {"dense": (DENSE, seed, "ticket")}
        return {start: trial_of(records[key]) for start, key in keys.items()}

    def _length(self, start: str) -> int:
        steps = self.setting.steps
        return round(steps / self.mask.macs) if start == "reinit_same_flops" else steps

    def _fit(self, start: str, total: int) -> FitConfig:
        fit = replace(self.setting.fit, steps=total)
        if start == "finetune":
            return replace(fit, learning_rate=SOFTER * fit.learning_rate, schedule="cosine")
        return fit

    def _network(
        self, start: str, seeds: Seeds, rewound: Weights
    ) -> tuple[nn.Module, Mapping[str, Tensor] | None]:
        """Build the network of a start, and the masks to train it with."""
        if start.startswith("reinit"):
            return self.mask.on(self.setting.network(seeds.reinit))
        weights = self.source.base if start in ("finetune", "lr_rewind") else rewound
        mask = self.mask.shuffled(seeds.shuffle) if start == "shuffled" else self.mask
        return mask.on(fill(self.setting.network(0), weights))
