"""Record of a run's splits: which sample is in which."""

from __future__ import annotations

import hashlib
from typing import Any

from torch import Tensor

from autoprune.data.samples import Samples
from autoprune.data.splits import Data

SPLITS = "splits.json"
"""File of a run that holds the record."""


def describe(data: Data) -> dict[str, Any]:
    """Return the splits as a JSON-able object, format 1.

    For each: the number of ``samples``, the ``sha256`` of their content in order, and, if they were
    cut out of a source, the part they are ``from`` and its ``rows`` as ranges [first, past the
    last), in ascending order.
    """
    splits = {}
    for name, split in data.splits.items():
        splits[name] = {"samples": len(split), "sha256": _sha256(split)}
        if name in data.rows:
            part, rows = data.rows[name]
            splits[name] |= {"from": part, "rows": _ranges(rows)}
    return {"format": 1, "data": data.name, "fingerprint": data.fingerprint, "splits": splits}


def _sha256(split: Samples) -> str:
    digest = hashlib.sha256()
    split.update(digest)
    return digest.hexdigest()


def _ranges(rows: Tensor) -> list[list[int]]:
    ranges: list[list[int]] = []
    for row in rows.sort().values.tolist():
        if ranges and ranges[-1][1] == row:
            ranges[-1][1] += 1
        else:
            ranges.append([row, row + 1])
    return ranges
