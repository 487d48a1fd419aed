"""The mask of a search as it works on a network: whole units that go, or single weights at zero."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from autoprune.commands.ticket import masks as m
from autoprune.commands.ticket.experiment import Setting
from autoprune.commands.ticket.search_run import Source
from autoprune.commands.ticket.ticket import fill
from autoprune.cost.model import CostModel
from autoprune.errors import UsageError
from autoprune.pipeline.inputs import on_device
from autoprune.structure import Structure
from autoprune.structure.analyze import analyze
from autoprune.structure.slicing import Slicer


@dataclass(frozen=True)
class Mask:
    """A mask that fits a network.

    - ``weights``: bool tensors by parameter, True where a weight stays.
    - ``kept``: units that stay, by group; None for masks of single weights.
    - ``block``: length of the runs along a weight's inputs that a pattern such as 2:4 holds in.
    """

    structure: Structure
    weights: Mapping[str, Tensor]
    kept: Mapping[str, Tensor] | None = None
    block: int = 0

    @classmethod
    def of(cls, source: Source, setting: Setting) -> Mask:
        """Fit the mask of a search to its network.

        Raises UsageError if it is not the mask of a plan for this network.
        """
        network = fill(setting.network(0), source.initial)
        example = on_device(setting.data.example(setting.task), setting.device)
        structure = analyze(network, example)
        if not source.granularity.masked:
            kept = kept_units(Slicer(network, structure), structure, source.masks)
            names = {name for name, _ in network.named_parameters()}
            weights = {name: mask for name, mask in source.masks.items() if name in names}
            return cls(structure, weights, kept)
        _, block = source.granularity.block or (0, 0)
        for name, parameter in network.named_parameters():
            if name in source.masks and source.masks[name].shape != parameter.shape:
                raise UsageError(f"the mask does not fit the network at {name!r}")
        strange = source.masks.keys() - dict(network.named_parameters()).keys()
        if strange or not source.masks:
            raise UsageError(
                f"the mask does not fit the network at {min(strange, default='all')!r}"
            )
        return cls(structure, source.masks, None, block)

    def on(self, network: nn.Module) -> tuple[nn.Module, Mapping[str, Tensor] | None]:
        """Return what is trained for a dense network: a compact one, or itself with masks."""
        if self.kept is None:
            return network, self.weights
        return Slicer(network, self.structure).build(dict(self.kept)), None

    def shuffled(self, seed: int) -> Mask:
        """Return a mask that keeps as much of everything, at places drawn by ``seed``."""
        if self.kept is None:
            return replace(self, weights=m.shuffled(self.weights, seed, self.block))
        return replace(self, kept=other_units(self.kept, self.structure.sizes, seed))

    @property
    def macs(self) -> float:
        """MACs that are left, as a fraction of the dense network's; zeros cost nothing here."""
        cost = CostModel(self.structure)
        if self.kept is not None:
            return cost.macs(self._plan) / cost.macs.dense
        return masked_macs(self.structure, self.weights) / cost.macs.dense

    @property
    def remaining(self) -> float:
        """Fraction of the parameters that stays."""
        if self.kept is None:
            return m.remaining(self.weights)
        cost = CostModel(self.structure)
        return cost.parameters(self._plan) / cost.parameters.dense

    @property
    def _plan(self) -> dict[str, int]:
        return {name: len(units) for name, units in (self.kept or {}).items()}


def masked_macs(structure: Structure, masks: Mapping[str, Tensor]) -> float:
    """Return the MACs per sample that masks of weights leave, if multiplying by zero is free."""
    shares, sizes = m.shares(masks), structure.sizes
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
        place = structure.slices[group.name][0]
        mask = masks.get(place.tensor)
        if mask is None or mask.ndim <= place.dim or mask.shape[place.dim] <= place.index.max():
            raise UsageError(f"the mask does not fit the network at {place.tensor!r}")
        along = mask.transpose(0, place.dim).flatten(1).any(1) if mask.ndim > 1 else mask
        kept[group.name] = along[place.index].all(1).nonzero().flatten()
    found = slicer.masks(kept)
    for name in found.keys() | masks.keys():
        if name not in found or name not in masks or not torch.equal(found[name], masks[name]):
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
