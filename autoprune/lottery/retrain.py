"""``autoprune ticket --run``: train the mask of a search again, from six different starts.

All networks but the dense one are compact: the units that a channel mask removes are gone. The
literature expects that for such masks "only ratios matter": that fresh weights, or other units in
the same numbers, do as well (Liu et al. 2019; Frankle et al. 2021, "Pruning Neural Networks at
Initialization").
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

from torch import Tensor, nn

from autoprune.analysis import analyze
from autoprune.cost import CostModel
from autoprune.lottery.source import Source, kept_units, other_units
from autoprune.lottery.study import Seeds, Study
from autoprune.lottery.ticket import Ticket, fill
from autoprune.lottery.trial import Trial, train
from autoprune.recover import FitConfig
from autoprune.session import on_device
from autoprune.slicing import Slicer
from autoprune.structure import Structure

SOFTER = 0.1
"""Learning rate of fine-tuning, as part of the peak in training."""

STARTS = ("ticket", "dense", "reinit", "shuffled", "reinit_same_flops", "finetune", "lr_rewind")
"""What is trained.

- ``ticket``: the initial weights that the mask keeps; ``dense``: all of them.
- ``reinit``: fresh weights in the same shapes; ``reinit_same_flops``: for as many iterations more
  as an iteration is cheaper than a dense one (Scratch-E and Scratch-B of Liu et al. 2019).
- ``shuffled``: the initial weights of other units, as many in every group.
- ``finetune``: the trained weights, at a tenth of the learning rate, falling; ``lr_rewind``: the
  trained weights, with the whole schedule again (Renda et al. 2020). Both had a training before.
"""


@dataclass(frozen=True)
class Retraining:
    """A mask to be trained again; ``study`` says on what and how."""

    study: Study
    source: Source

    @cached_property
    def structure(self) -> Structure:
        """What hangs together in the network."""
        example = on_device(self.study.data.example(self.study.task), self.study.device)
        return analyze(self._initial, example)

    @cached_property
    def kept(self) -> dict[str, Tensor]:
        """The units that the mask keeps, by group."""
        return kept_units(Slicer(self._initial, self.structure), self.structure, self.source.masks)

    @cached_property
    def macs(self) -> float:
        """MACs of the compact network as a fraction of the dense one's."""
        cost = CostModel(self.structure)
        return cost.macs({name: len(units) for name, units in self.kept.items()}) / cost.macs.dense

    def seed(
        self, seed: int, home: Path, known: Mapping[str, Trial], done: Callable[[str, Trial], None]
    ) -> None:
        """Train every start with the seeds of one repetition and store the ticket below ``home``.

        ``known`` trials are not repeated; ``done`` is told of each that ends. Every start sees the
        same batches in the same order.
        """
        seeds, first = Seeds.of(seed), self.study.rewind
        rewound = self._rewound(seeds, known, done)
        for start in STARTS[:1] + STARTS[2:]:
            if start not in known:
                late = first if start in ("ticket", "shuffled") else 0
                config = replace(self._config(start), seed=seeds.order, first=late)
                done(start, self._train(self._network(start, seeds, rewound), config)[0])
        facts = {"seeds": asdict(seeds), "source": self.source.config.to_json()}
        masks = {name: mask for name, mask in self.source.masks.items() if name in self._weights}
        ticket = Ticket(masks, self.source.initial, rewound, {}, first, facts)
        ticket.save(home / f"seed-{seed}")

    @property
    def remaining(self) -> float:
        """Fraction of the parameters that the mask keeps."""
        cost = CostModel(self.structure)
        plan = {name: len(units) for name, units in self.kept.items()}
        return cost.parameters(plan) / cost.parameters.dense

    @cached_property
    def _initial(self) -> nn.Module:
        return fill(self.study.network(0), self.source.initial)

    @cached_property
    def _weights(self) -> frozenset[str]:
        return frozenset(name for name, _ in self._initial.named_parameters())

    def _rewound(
        self, seeds: Seeds, known: Mapping[str, Trial], done: Callable[[str, Trial], None]
    ) -> Mapping[str, Tensor]:
        """Train the dense network; return its weights at the iteration to rewind to."""
        if "dense" in known and not self.study.rewind:
            return self.source.initial
        network = fill(self.study.network(0), self.source.initial)
        trial, weights = self._train(network, replace(self.study.fit, seed=seeds.order))
        if "dense" not in known:
            done("dense", trial)
        return weights or self.source.initial

    def _config(self, start: str) -> FitConfig:
        fit = self.study.fit
        if start == "finetune":
            return replace(fit, learning_rate=SOFTER * fit.learning_rate, schedule="cosine")
        if start == "reinit_same_flops":
            return replace(fit, steps=round((fit.steps or 0) / self.macs))
        return fit

    def _network(self, start: str, seeds: Seeds, rewound: Mapping[str, Tensor]) -> nn.Module:
        """Build the compact network of a start."""
        kept = self.kept
        if start == "shuffled":
            kept = other_units(kept, self.structure.sizes, seeds.shuffle)
        if start.startswith("reinit"):
            return Slicer(self.study.network(seeds.reinit), self.structure).build(kept)
        weights = self.source.base if start in ("finetune", "lr_rewind") else rewound
        dense = fill(self.study.network(0), weights)
        return Slicer(dense, self.structure).build(kept)

    def _train(self, network: nn.Module, config: FitConfig) -> tuple[Trial, dict[str, Tensor]]:
        study = self.study
        return train(network, study.splits, study.task, config, keep=study.rewind)
