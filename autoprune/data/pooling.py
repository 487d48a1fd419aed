"""Splits put together again: all that is held out, and that with the training rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch.utils._pytree import tree_map

from autoprune.data.read_split import ReadSplit
from autoprune.data.samples import Samples
from autoprune.data.split import Split
from autoprune.data.splits import Data
from autoprune.errors import UsageError


def held_out(data: Data) -> Split | ReadSplit:
    """Return the search and the validation split together, called validation."""
    return _together([data.search, data.validation]).called("validation")


def redrawn(data: Data, seed: int) -> tuple[Samples, Samples]:
    """Return training and validation split of the same sizes as ever, drawn again by ``seed``."""
    train = data.train
    if isinstance(train, ReadSplit):
        rows = [data.rows[name] for name in ("search", "validation")]
        if any(part != "train" for part, _ in rows):
            raise UsageError(
                "validation samples of their own cannot be exchanged for training samples that are"
                " read as needed",
                "leave --split-seed out, or leave the validation split out of the data",
            )
        index = np.concatenate([train.index, *(numbers.numpy() for _, numbers in rows)])
        pool: Split | ReadSplit = replace(train, index=index, count=None)
    else:
        pool = _together([train, held_out(data)]).called("train")
    count = len(pool)
    pool = pool.take(count, seed)
    at = len(train)
    return pool.part(0, at), pool.part(at, count).called("validation")


def _together(splits: list[Samples]) -> Split | ReadSplit:
    held = [split for split in splits if isinstance(split, Split)]
    read = [split for split in splits if isinstance(split, ReadSplit)]
    if len(held) == len(splits):
        content = tree_map(lambda *parts: torch.cat(parts), *(split.content for split in held))
        return replace(held[0], content=content)
    if len(read) < len(splits) or any(split.plain is not read[0].plain for split in read):
        raise UsageError(
            "search and validation samples are of two kinds, in memory and read as needed",
            "give only validation samples",
        )
    return replace(read[0], index=np.concatenate([split.index for split in read]), count=None)
