"""Study of ``autoprune ticket --run``: the mask of a search is trained again from seven starts.

The networks of a channel mask are compact: the units that it removes are gone. For such masks, and
for ratios chosen per layer, the literature expects that "only ratios matter": fresh weights, or
other units in the same numbers, do as well (Liu et al. 2019; Frankle et al. 2021, "Pruning Neural
Networks at Initialization").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from autoprune.commands.ticket.evidence.summary import Level, TrialsByKind, level_json
from autoprune.commands.ticket.evidence.verdict import mask_verdict
from autoprune.commands.ticket.jobs import Job, Record, Records, Tick, checkpoint, folder
from autoprune.commands.ticket.studies.search_mask import SearchMask
from autoprune.commands.ticket.studies.search_run import SearchRun
from autoprune.commands.ticket.ticket import Ticket, Weights, fill
from autoprune.commands.ticket.training.experiment import Experiment, Seeds
from autoprune.commands.ticket.training.trial import trial_of
from autoprune.networks.save import state_tensors
from autoprune.training.config import FitConfig

SOFTER = 0.1
"""Learning rate of fine-tuning, as a fraction of the peak in training."""

DENSE, MASK = "dense", "mask"

STARTS = ("ticket", "dense", "reinit", "shuffled", "reinit_same_flops", "finetune", "lr_rewind")
"""Starts: what is trained.

- ``ticket``: the initial weights that the mask keeps; ``dense``: all of them.
- ``reinit``: fresh weights in the same positions; ``reinit_same_flops``: the same for more
  iterations, with as many FLOPs as the dense training (Scratch-E and Scratch-B of Liu et al. 2019).
- ``shuffled``: the initial weights of other units, as many in every group; for masks of weights,
  other weights, as many in every layer.
- ``finetune``: the trained weights, at a tenth of the learning rate, falling; ``lr_rewind``: the
  trained weights, with the whole schedule again (Renda et al. 2020). Both were trained before.
"""


@dataclass(frozen=True)
class Retraining:
    """Study of the mask of a search, trained again in ``experiment``."""

    experiment: Experiment
    search: SearchRun
    seeds: range

    @cached_property
    def mask(self) -> SearchMask:
        """Mask fitted to the network; raises UsageError if it does not fit."""
        return SearchMask.of(self.search, self.experiment)

    def jobs(self) -> list[Job]:
        """List the trainings, seed by seed."""
        jobs = []
        for seed in self.seeds:
            dense = Job(DENSE, seed, "ticket", self.experiment.steps, stores=True)
            needs = (dense.key,) if self.experiment.rewind else ()
            for start in STARTS:
                if start == "dense":
                    jobs.append(dense)
                    continue
                late = self.experiment.rewind if start in ("ticket", "shuffled") else 0
                steps = self._length(start) - late
                stores = start == "ticket"
                jobs.append(Job(MASK, seed, start, steps, needs if late else (), stores))
        return sorted(jobs, key=lambda job: (job.seed, bool(job.needs)))

    def carry_out(self, job: Job, home: Path, tick: Tick) -> Record:
        """Train one network. All trainings of a seed see the same batches in the same order."""
        experiment, seeds, initial = self.experiment, Seeds.of(job.seed), self.search.initial
        ticket = experiment.dense(initial)
        if job.mask == MASK:
            rewound = initial
            if job.needs:
                rewound = Ticket.load(folder(home, job.seed, DENSE)).rewound
            ticket = replace(ticket, masks=self.mask.weights, rewound=rewound)
            network, masks = self._network(job.kind, seeds, rewound)
        else:
            network, masks = fill(experiment.network(0), initial), None
        total = self._length(job.kind)
        job_experiment = replace(experiment, recipe=self._recipe(job.kind, total))
        outcome = job_experiment.train(
            network,
            seeds.order,
            tick,
            masks=masks,
            first=total - job.steps,
            keep=(experiment.rewind,),
            checkpoint=checkpoint(job, home),
            select=job.kind == "finetune",
        )
        if job.stores:
            if job.mask == DENSE:
                ticket = replace(ticket, rewound=outcome.kept.get(experiment.rewind) or initial)
            trained = state_tensors(network)
            experiment.store(job, home, replace(ticket, trained=trained), outcome.trial)
        return outcome.trial.record(job, 1.0 if job.mask == DENSE else self.mask.remaining)

    def levels_of(self, records: Records) -> list[Level]:
        """Return the trials from every start."""
        seeds = {seed: self._trials(records, seed) for seed in self.seeds}
        return [Level(self.mask.remaining, seeds)]

    def result(self, records: Records) -> dict[str, Any]:
        """Return the figures of every start, and a verdict."""
        (level,) = self.levels_of(records)
        config = self.search.config
        return {
            "method": "the mask of a search: "
            f"{self.search.chosen_by}, {config.ranking}, {config.budget}",
            "granularity": str(self.search.granularity),
            "macs": round(self.mask.macs, 6),
            "levels": [level_json(level)],
            "verdict": mask_verdict(level.trials, channels=not self.search.granularity.masked),
        }

    def _trials(self, records: Records, seed: int) -> TrialsByKind:
        keys = {start: (MASK, seed, start) for start in STARTS} | {"dense": (DENSE, seed, "ticket")}
        return {start: trial_of(records[key]) for start, key in keys.items()}

    def _length(self, start: str) -> int:
        steps = self.experiment.steps
        return round(steps / self.mask.macs) if start == "reinit_same_flops" else steps

    def _recipe(self, start: str, total: int) -> FitConfig:
        recipe = replace(self.experiment.recipe, steps=total)
        if start == "finetune":
            return replace(recipe, learning_rate=SOFTER * recipe.learning_rate, schedule="cosine")
        return recipe

    def _network(
        self, start: str, seeds: Seeds, rewound: Weights
    ) -> tuple[nn.Module, Mapping[str, Tensor] | None]:
        """Build the network of a start, and the masks to train it with."""
        if start.startswith("reinit"):
            return self.mask.apply(self.experiment.network(seeds.reinit))
        weights = self.search.base if start in ("finetune", "lr_rewind") else rewound
        mask = self.mask.shuffled(seeds.shuffle) if start == "shuffled" else self.mask
        return mask.apply(fill(self.experiment.network(0), weights))
