"""Whether tokens fit a model of text: their numbers, and how many there are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from autoprune.data import Data
from autoprune.errors import UsageError


def check_tokens(model: nn.Module, data: Data) -> None:
    """Raise UsageError for tokens that a model of transformers does not know, or for too many."""
    find: Any = getattr(model, "get_input_embeddings", None)
    config = getattr(model, "config", None)
    if not callable(find) or config is None:
        return
    for split in data.splits.values():
        probe = split.probe
        ids = probe.get("input_ids") if isinstance(probe, Mapping) else None
        if not isinstance(ids, Tensor) or ids.dim() != 2:
            return
        known, highest = len(find().weight), int(ids.max())
        if highest >= known:
            raise UsageError(
                f"{data.name} has token {highest}, the model knows {known}",
                "the tokenizer is another model's: name the directory of this one",
            )
        positions = getattr(config, "max_position_embeddings", None)
        if isinstance(positions, int) and ids.shape[1] > positions:
            raise UsageError(
                f"{data.name} has {ids.shape[1]} tokens in a row, the model {positions} positions",
                f"write length={positions}",
            )
