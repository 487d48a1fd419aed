"""Mask of a search, fitted to a network: whole units are removed, or single weights are zero."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from autoprune.commands.ticket.masks import kept_by_layer, kept_fraction, shuffled_masks
from autoprune.commands.ticket.studies.search_run import SearchRun
from autoprune.commands.ticket.ticket import fill
from autoprune.commands.ticket.training.experiment import Experiment
from autoprune.cost.model import CostModel
from autoprune.errors import UsageError
from autoprune.pipeline.inputs import on_device
from autoprune.structure import Structure
from autoprune.structure.analyze import analyze
from autoprune.structure.slicing import Slicer


@dataclass(frozen=True)
class SearchMask:
    """Mask that fits a network.

    - ``weights``: bool tensors by parameter, True where a weight stays.
    - ``kept``: units that stay, by group; None for masks of single weights.
    - ``block``: length of the runs along a weight's inputs that a pattern such as 2:4 holds in.
    """

    structure: Structure
    weights: Mapping[str, Tensor]
    kept: Mapping[str, Tensor] | None = None
    block: int = 0

    @classmethod
    def of(cls, search: SearchRun, experiment: Experiment) -> SearchMask:
        """Return the mask of a search, fitted to its network.

        Raises UsageError if it is not the mask of a plan for this network.
        """
        network = fill(experiment.network(0), search.initial)
        example = on_device(experiment.data.example(experiment.task), experiment.device)
        structure = analyze(network, example)
        if not search.granularity.masked:
            kept = kept_units(Slicer(network, structure), structure, search.masks)
            names = {name for name, _ in network.named_parameters()}
            weights = {name: mask for name, mask in search.masks.items() if name in names}
            return cls(structure, weights, kept)
        _, block = search.granularity.block or (0, 0)
        for name, parameter in network.named_parameters():
            if name in search.masks and search.masks[name].shape != parameter.shape:
                raise UsageError(f"the mask does not fit the network at {name!r}")
        unknown = search.masks.keys() - dict(network.named_parameters()).keys()
        if unknown or not search.masks:
            raise UsageError(
                f"the mask does not fit the network at {min(unknown, default='all')!r}"
            )
        return cls(structure, search.masks, None, block)

    def apply(self, network: nn.Module) -> tuple[nn.Module, Mapping[str, Tensor] | None]:
        """Return the network to train: a compact copy, or ``network`` itself with masks."""
        if self.kept is None:
            return network, self.weights
        return Slicer(network, self.structure).build(dict(self.kept)), None

    def shuffled(self, seed: int) -> SearchMask:
        """Return a mask that keeps as many units or weights everywhere, drawn by ``seed``."""
        if self.kept is None:
            return replace(self, weights=shuffled_masks(self.weights, seed, self.block))
        return replace(self, kept=other_units(self.kept, self.structure.sizes, seed))

    @property
    def macs(self) -> float:
        """Fraction of the dense network's MACs that is left; zeros cost nothing here."""
        cost = CostModel(self.structure)
        if self.kept is not None:
            return cost.macs(self._plan) / cost.macs.dense
        return masked_macs(self.structure, self.weights) / cost.macs.dense

    @property
    def remaining(self) -> float:
        """Fraction of the parameters that stays."""
        if self.kept is None:
            return kept_fraction(self.weights)
        cost = CostModel(self.structure)
        return cost.parameters(self._plan) / cost.parameters.dense

    @property
    def _plan(self) -> dict[str, int]:
        return {name: len(units) for name, units in (self.kept or {}).items()}


def masked_macs(structure: Structure, masks: Mapping[str, Tensor]) -> float:
    """Return the MACs per sample that masks of weights leave, if multiplying by zero is free."""
    shares, sizes = kept_by_layer(masks), structure.sizes
    return sum(
        product(sizes) * shares.get(layer.weight or "", 1.0)
        for layer in structure.layers
        for product in layer.macs
    )


def kept_units(
    slicer: Slicer, structure: Structure, masks: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Return the units, by group, that channel masks keep.

    Raises UsageError if the masks are not those of a plan for this network.
    """
    kept = {}
    for group in structure.groups:
        first = structure.slices[group.name][0]
        mask = masks.get(first.tensor)
        if mask is None or mask.ndim <= first.dim or mask.shape[first.dim] <= first.index.max():
            raise UsageError(f"the mask does not fit the network at {first.tensor!r}")
        along = mask.transpose(0, first.dim).flatten(1).any(1) if mask.ndim > 1 else mask
        kept[group.name] = along[first.index].all(1).nonzero().flatten()
    implied = slicer.masks(kept)
    for name in implied.keys() | masks.keys():
        if name not in implied or name not in masks or not torch.equal(implied[name], masks[name]):
            raise UsageError(
                f"the mask does not fit the network at {name!r}",
                "it must be the mask of a plan: whole channels, in every tensor they go through",
            )
    return kept


def other_units(
    kept: Mapping[str, Tensor], sizes: Mapping[str, int], seed: int
) -> dict[str, Tensor]:
    """Return as many units of every group, drawn by ``seed``."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randperm(sizes[name], generator=generator)[: len(units)].sort().values
        for name, units in kept.items()
    }
