"""Result of ``autoprune bench``: rows of the table, and the published ratios beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from autoprune.foundation.schema import encode_fields

BLAMED: Final = 0.9
"""Part of its MAC reduction that a layer must reach as speed-up; below it, it is to blame."""


@dataclass(frozen=True)
class Reference:
    """Published ratios before : after, at a pruning rate of 0.5."""

    size: float
    time: float


REFERENCES: Final[Mapping[str, Reference]] = {
    "simplenet": Reference(4.8, 2.1),
    "vgg19": Reference(4.0, 3.0),
    "densenet40": Reference(2.9, 1.9),
    "mobilenetv1": Reference(3.7, 2.4),
    "ocrnet": Reference(2.9, 1.4),
}
REFERENCE_RATE: Final = 0.5


@dataclass(frozen=True)
class Blame:
    """Layer whose speed-up is smaller than its MAC reduction.

    ``lost_ms`` are the milliseconds per batch that it takes beyond ``BLAMED`` of that reduction.
    """

    layer: str
    speedup: float
    macs_ratio: float
    lost_ms: float


@dataclass(frozen=True)
class PlanFigures:
    """Figures of one plan: file sizes in bytes, milliseconds per batch, MACs per sample."""

    plan: str
    bytes_before: int
    bytes_after: int
    ms_before: float
    ms_after: float
    macs_before: int
    macs_after: int
    blame: tuple[Blame, ...]

    @property
    def size_ratio(self) -> float:
        """Size before over after."""
        return self.bytes_before / self.bytes_after

    @property
    def time_ratio(self) -> float:
        """Time before over after: the speed-up."""
        return self.ms_before / self.ms_after

    @property
    def macs_ratio(self) -> float:
        """MACs before over after."""
        return self.macs_before / self.macs_after

    @property
    def realized(self) -> float:
        """Speed-up as a part of the MAC reduction."""
        return self.time_ratio / self.macs_ratio

    def met(self, reference: Reference | None) -> int:
        """Return how many aims are met: size and time (to the published digit), and realization."""
        wanted = [self.realized >= BLAMED]
        if reference is not None:
            wanted += [
                round(self.size_ratio, 1) >= reference.size,
                round(self.time_ratio, 1) >= reference.time,
            ]
        return sum(wanted)


@dataclass(frozen=True)
class Row:
    """Row of the table: one network, the plan that met most aims, and all that were tried.

    ``form`` is the arithmetic both networks were timed in, ``reference`` None at other rates than
    the published one; the accuracies are None where no trained network was given.
    """

    model: str
    rate: float
    batch: int
    form: str
    best: PlanFigures
    tries: tuple[PlanFigures, ...]
    reference: Reference | None = None
    metric: str = "accuracy"
    accuracy_before: float | None = None
    accuracy_after: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able object, the figures of the best plan beside the network's name."""
        own = {name: value for name, value in encode_fields(self).items() if name != "best"}
        best = encode_fields(self.best)
        ratios = {
            name: round(getattr(self.best, name), 4)
            for name in ("size_ratio", "time_ratio", "macs_ratio")
        }
        ratios["realised"] = round(self.best.realized, 4)  # the key of earlier versions
        return own | best | ratios


@dataclass(frozen=True)
class Bench:
    """All rows, and the machine they were measured on."""

    rows: tuple[Row, ...]
    machine: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able object."""
        return {"rows": [row.to_json() for row in self.rows], "machine": dict(self.machine)}
