"""How high the error rises on the straight line between two trained networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from autoprune.commands.ticket.experiment import Setting
from autoprune.commands.ticket.ticket import Weights, fill
from autoprune.foundation.schema import encode_fields
from autoprune.networks.score import measure

POINTS = 11
"""Places on the line, the ends included."""


@dataclass(frozen=True)
class Barrier:
    """Error on the validation split along the line, and the most it exceeds the ends' mean by.

    Frankle et al. 2020, "Linear Mode Connectivity", section 2: a network is stable to the noise of
    SGD if two trainings of it on batches in different orders end without a barrier between them;
    they call up to 0.02 stable.
    """

    height: float
    errors: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able object."""
        return encode_fields(self)


def barrier(setting: Setting, one: Weights, other: Weights, points: int = POINTS) -> Barrier:
    """Measure the error between two sets of weights of the setting's network."""
    network, errors = setting.network(0), []
    for point in range(points):
        fill(network, _between(one, other, point / (points - 1)))
        errors.append(1 - measure(network, setting.splits.validation, setting.task).score)
    return Barrier(max(errors) - (errors[0] + errors[-1]) / 2, tuple(errors))


def _between(one: Weights, other: Weights, part: float) -> dict[str, Tensor]:
    """Mix floats, statistics of norms included; counters are those of ``one``."""
    return {
        name: value.lerp(other[name].to(value), part) if value.is_floating_point() else value
        for name, value in one.items()
    }
