"""Tokenizers of a directory, and what they hide of a text."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from autoprune.errors import DamagedError, UsageError
from autoprune.foundation.files import expand_user, read_json
from autoprune.foundation.libraries import needed
from autoprune.foundation.user_code import blamed

SEED: Final = 0
"""Seed of what is hidden: the same in every run."""

AS_MASK: Final = 0.8
"""Part of the hidden tokens that look like the mask (Devlin et al. 2019, arXiv:1810.04805, section
3.1)."""

AS_OTHER: Final = 0.1
"""Part of the hidden tokens that look like any other; the rest is left as it is."""


def load_tokenizer(place: str | None) -> Any:
    """Return the tokenizer of a directory; raise UsageError if there is none.

    None stands for bytes, which have none.
    """
    if place is None:
        raise UsageError("bytes have no mask", "name a tokenizer that has: tokenizer=DIRECTORY")
    directory = require_directory(place)
    with needed("transformers", "transformers"):
        from transformers import AutoTokenizer
    with blamed(f"no tokenizer in {directory}"):
        return AutoTokenizer.from_pretrained(
            directory, local_files_only=True, trust_remote_code=False
        )


def require_directory(place: str) -> Path:
    """Return the directory of a tokenizer; raise UsageError if there is none."""
    directory = expand_user(place)
    if not directory.is_dir():
        raise UsageError(f"no tokenizer in {place}", "name the directory of a model")
    return directory


def label_names(directory: Path) -> list[str]:
    """Return the names of classes in the configuration beside a tokenizer, if there are any."""
    file = directory / "config.json"
    try:
        config = read_json(file) if file.is_file() else None
    except DamagedError:
        return []
    names = config.get("id2label") if isinstance(config, dict) else None
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        return []
    return [names[key] for key in sorted(names, key=lambda key: int(key) if key.isdecimal() else 0)]


def hidden(blocks: Tensor, share: float, tokenizer: Any) -> dict[str, Tensor]:
    """Hide a share of the tokens [B, T]; ``labels`` say what they were, -100 elsewhere.

    Raises UsageError for a tokenizer without a mask.
    """
    mask = tokenizer.mask_token_id
    if mask is None:
        raise UsageError("the tokenizer has no mask", "masked-lm needs a model that was trained so")
    generator = torch.Generator().manual_seed(SEED)
    chosen = torch.rand(blocks.shape, generator=generator) < share
    chance = torch.rand(blocks.shape, generator=generator)
    others = torch.randint(len(tokenizer), blocks.shape, generator=generator)
    shown = torch.where(chance < AS_MASK, torch.full_like(blocks, mask), blocks)
    shown = torch.where((chance >= AS_MASK) & (chance < AS_MASK + AS_OTHER), others, shown)
    return {
        "input_ids": torch.where(chosen, shown, blocks),
        "labels": torch.where(chosen, blocks, torch.full_like(blocks, -100)),
    }
