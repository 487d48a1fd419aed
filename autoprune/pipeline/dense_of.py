"""The dense network that a run's compact one was cut from, with its weights, and its masks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from autoprune.data import Data
from autoprune.foundation.files import expand_user
from autoprune.networks.save import SPEC
from autoprune.networks.spec import ModelSpec, resolve_model
from autoprune.networks.weights import BASE, load_weights, read_masks
from autoprune.pipeline.inputs import known_config
from autoprune.runs.artifacts import Artifacts

MASKS = "masks.safetensors"


def dense_of(
    artifacts: Artifacts,
    data: Data,
    model: str | None = None,
    weights: str | None = None,
    *,
    trust_code: bool = False,
) -> nn.Module | None:
    """Build the dense network of a run; None if its code or its weights are unknown or gone.

    ``model`` and ``weights`` are named by the user, in place of what the run names. Raises
    UsageError for weights that are not there, DamagedError for those of another network.
    """
    spec: Any = artifacts.json(SPEC).get("model")
    path: str | Path | None = weights or weights_of(artifacts)
    if path is None or (spec is None and model is None):
        return None
    if model:
        dense = resolve_model(model, data)
    else:
        dense = ModelSpec.from_json(spec).build(trust_code=trust_code)
    load_weights(dense, path)
    return dense


def weights_of(artifacts: Artifacts) -> str | Path | None:
    """Return where the dense weights of a run are: in it, or where it found them; None if gone."""
    if BASE in artifacts.names:
        return artifacts.path
    config = known_config(artifacts)
    known = config.get("weights") or config.get("teacher")
    return known if isinstance(known, str) and expand_user(known).exists() else None


def weight_masks(artifacts: Artifacts, model: nn.Module) -> dict[str, Tensor]:
    """Return the masks of single weights; masks of channels have the shapes before pruning."""
    if MASKS not in artifacts.names:
        return {}
    shapes = {name: value.shape for name, value in model.named_parameters()}
    return {
        name: mask
        for name, mask in read_masks(artifacts.file(MASKS)).items()
        if shapes.get(name) == mask.shape
    }
