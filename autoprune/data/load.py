"""``--data``: from a name, a path or python objects to :class:`Data`."""

from __future__ import annotations

from autoprune.data.digits import digits
from autoprune.data.split import Data
from autoprune.errors import UsageError


def load_data(spec: object, seed: int = 0) -> Data:
    """Load ``spec``: ``digits``."""
    if isinstance(spec, Data):
        return spec
    if spec == "digits":
        return digits(seed)
    raise UsageError(f"unknown data {spec!r}")
