"""The mask that a search left in its run directory, with the weights around it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from autoprune.artefacts import Artefacts
from autoprune.config import SearchConfig
from autoprune.errors import DamagedError, UsageError
from autoprune.models import ModelSpec
from autoprune.slicing import Slicer
from autoprune.structure import Structure

MASKS, INITIAL, BASE = "masks.safetensors", "initial.safetensors", "base.safetensors"


@dataclass(frozen=True)
class Source:
    """A finished search: how its network is built, its masks, its weights before and after."""

    config: SearchConfig
    spec: ModelSpec
    masks: Mapping[str, Tensor]
    initial: Mapping[str, Tensor]
    base: Mapping[str, Tensor]


def read_source(path: Path) -> Source:
    """Read a finished search.

    Raises UsageError if it is none, or has no initial weights to rewind to; DamagedError if a file
    of it is not what was written.
    """
    artefacts = Artefacts(path)
    if MASKS not in artefacts.names or "model.json" not in artefacts.names:
        raise UsageError(f"{path} holds no mask", "name the directory of a finished search")
    if INITIAL not in artefacts.names or BASE not in artefacts.names:
        raise UsageError(
            f"{path} has no initial weights to rewind to: the search was given a trained network",
            "only a search that trains its network stores them, as digits-resnet without --weights",
        )
    meta, network = artefacts.json("config.json"), artefacts.json("model.json")
    if meta.get("command") != SearchConfig.command:
        raise UsageError(f"{path} holds a run of {meta.get('command')}, not of a search")
    if network.get("model") is None:
        raise UsageError(f"the network of {path} was given as a live object: it cannot be built")
    return Source(
        SearchConfig.from_json(meta["config"]),
        ModelSpec.from_json(network["model"]),
        *(_tensors(artefacts.file(name)) for name in (MASKS, INITIAL, BASE)),
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


def _tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise DamagedError(f"{path} is not a safetensors file: {error}") from None
