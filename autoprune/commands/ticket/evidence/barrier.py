"""Error barrier on the straight line between two trained networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from autoprune.commands.ticket.ticket import Weights, fill
from autoprune.commands.ticket.training.experiment import Experiment
from autoprune.foundation.schema import encode_fields
from autoprune.networks.score import measure

POINTS = 11
"""Points on the line, including both ends."""


@dataclass(frozen=True)
class Barrier:
    """Validation errors along the line, and the height by which they exceed the mean of the ends.

    Frankle et al. 2020, "Linear Mode Connectivity", section 2: a network is stable to SGD noise if
    there is no barrier between two trainings of it on batches in different orders; they call
    heights up to 0.02 stable.
    """

    height: float
    errors: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able object."""
        return encode_fields(self)


def barrier(experiment: Experiment, one: Weights, other: Weights, points: int = POINTS) -> Barrier:
    """Measure the barrier between two sets of weights of the experiment's network."""
    network, errors = experiment.network(0), []
    for point in range(points):
        fill(network, _interpolated(one, other, point / (points - 1)))
        errors.append(1 - measure(network, experiment.splits.validation, experiment.task).score)
    return Barrier(max(errors) - (errors[0] + errors[-1]) / 2, tuple(errors))


def _interpolated(one: Weights, other: Weights, part: float) -> dict[str, Tensor]:
    """Interpolate floats, including the statistics of norms; counters are those of ``one``."""
    return {
        name: value.lerp(other[name].to(value), part) if value.is_floating_point() else value
        for name, value in one.items()
    }
