"""Result of ``autoprune profile``: MACs, parameters, bytes, energy and measured time by layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from autoprune.foundation.schema import encode_fields


@dataclass(frozen=True)
class LayerCost:
    """Cost of one module that has MACs, or of a whole network, per sample.

    ``bytes`` are those of parameters and buffers, ``activations`` elements read and written,
    ``milliseconds`` measured in batches (None where a module holds other modules too, whose time is
    not its own), ``picojoules`` by the table.
    """

    name: str
    kind: str
    macs: int
    parameters: int
    bytes: int
    activations: int
    milliseconds: float | None
    picojoules: float


@dataclass(frozen=True)
class Profile:
    """Cost of every layer, of all other modules together, and of the whole network."""

    model: str
    data: str
    layers: tuple[LayerCost, ...]
    other: LayerCost
    total: LayerCost
    batch: int
    device: str
    assumptions: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able object."""
        return encode_fields(self)
