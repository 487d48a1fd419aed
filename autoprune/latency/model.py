"""The latency of every plan of a network on this device, from measured operations.

Each operation is timed by itself at aligned widths, on random inputs of the sizes and layout that
it has in the network. Their sum leaves out what lies between operations, so a few compact networks
are timed from end to end, and a factor and a constant bring the sum in line with those.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from autoprune.cost import Counts
from autoprune.errors import DamagedError
from autoprune.execution import device_of
from autoprune.folding import find_foldable
from autoprune.latency.cache import Times, machine
from autoprune.latency.clock import shortest
from autoprune.latency.deployed import deployed_form, few, latencies, samples_in
from autoprune.latency.sizes import Grid, SizedCall, grid, sized_calls
from autoprune.latency.table import Table, TableCost, monotone
from autoprune.schema import decode_fields, encode_fields
from autoprune.slicing import Slicer
from autoprune.structure.table import Structure
from autoprune.task import Batch, Task

CALIBRATION: Final = (1.0, 0.75, 0.5, 0.25)
"""Places between all and the least units at which whole networks are timed."""

OVERHEAD: Final = 0.5

NANO, MILLI = 1e9, 1e6
"""Nanoseconds in a second and in a millisecond."""

FORMAT: Final = 1

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Whole:
    """A network timed from end to end, ``keep`` its mean fraction of units; ms per sample."""

    keep: float
    measured_ms: float
    predicted_ms: float


@dataclass(frozen=True)
class LatencyModel:
    """Nanoseconds per sample of every plan, and how they were found.

    ``batch``: samples per forward pass. ``factor`` and ``constant`` (nanoseconds per sample) bring
    the sum of the operations in line with the whole networks of ``fit``.
    ``corrected``: how far the tables were moved so that they never fall, over all their entries, as
    a part of their sum.
    """

    cost: TableCost
    device: str
    backend: str
    batch: int
    operations: int
    factor: float
    constant: float
    corrected: float
    fit: tuple[Whole, ...]

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able object; format 1."""
        return {"format": FORMAT, **encode_fields(self)}

    @classmethod
    def from_json(cls, data: object) -> Self:
        """Read what ``to_json`` wrote; raise DamagedError if it is anything else."""
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise DamagedError("not a latency that this version knows", "measure it again")
        content = {name: value for name, value in data.items() if name != "format"}
        return cls(**decode_fields(cls, content, "the latency"))


class Survey:
    """All that has to be measured of one network; ``missing`` is what this machine has not yet.

    ``batch`` is what one forward pass takes. ``choices`` are the counts that each group may keep,
    ascending. The weights of the model do not matter, and it is not changed.
    """

    def __init__(
        self,
        model: nn.Module,
        structure: Structure,
        task: Task,
        batch: Batch,
        choices: Sequence[Counts],
    ) -> None:
        """Find the operations.

        Raises UsageError if they cannot be told apart.
        """
        self._model, self._structure, self._choices = model, structure, choices
        self._task, self._batch, self._device = task, batch, device_of(model)
        self._form = deployed_form(model, task, batch)
        pairs = find_foldable(model, task, few(batch))
        calls = sized_calls(model, structure, task, batch, self._form, pairs, choices)
        self._grids = [(call, grid(call, choices)) for call in calls]
        self._times = Times(machine(self._device, "torch"))
        self.missing: dict[str, tuple[SizedCall, tuple[int, ...]]] = {}
        for call, item in self._grids:
            for _, counts in item.points():
                sizes = call.at(counts)
                key = call.call.key(sizes)
                if self._times.get(key) is None:
                    self.missing[key] = (call, sizes)

    @property
    def notes(self) -> list[str]:
        """What was wrong with times that were kept."""
        return self._times.notes

    def take(self, on_each: Callable[[], object] = lambda: None) -> LatencyModel:
        """Measure what is missing, each told to ``on_each``, and whole networks; add it all up."""
        try:
            for key, (call, sizes) in self.missing.items():
                with torch.inference_mode():
                    work = call.call.bound(sizes, self._device)
                    self._times.add(key, NANO * shortest(work, self._device))
                on_each()
        finally:
            self._times.save()
        samples = samples_in(self._batch)
        raw = [self._table(call, item, samples) for call, item in self._grids]
        tables = [Table(table.axes, monotone(table.values)) for table in raw]
        moved = sum(np.abs(a.values - b.values).mean() for a, b in zip(raw, tables, strict=True))
        return self._calibrated(tables, float(moved / sum(table.values.mean() for table in raw)))

    def _table(self, call: SizedCall, item: Grid, samples: int) -> Table:
        values = np.zeros(item.plans.shape[:2])
        for place, counts in item.points():
            values[place] = (self._times.get(call.call.key(call.at(counts))) or 0.0) / samples
        return Table(item.axes, values)

    def _calibrated(self, tables: Sequence[Table], corrected: float) -> LatencyModel:
        names = [group.name for group in self._structure.groups]
        sizes = np.array([options[-1] for options in self._choices], np.int64)
        plans = np.unique([_between(self._choices, place) for place in CALIBRATION], axis=0)
        samples, slicer = samples_in(self._batch), Slicer(self._model, self._structure)
        networks = [slicer.build(first_units(self._structure, plan)).eval() for plan in plans]
        spent = latencies(networks, self._task, self._batch, self._form)
        measured = np.array(spent) * NANO / samples
        summed = TableCost.of(names, sizes, tables).many(plans).astype(float)
        factor, constant = _fit(summed, measured)
        scaled = [Table(table.axes, table.values * factor) for table in tables]
        cost = TableCost.of(names, sizes, scaled, constant)
        return LatencyModel(
            cost=cost,
            device=str(self._device),
            backend="torch",
            batch=samples,
            operations=len(self._grids),
            factor=factor,
            constant=constant,
            corrected=corrected,
            fit=tuple(
                Whole(float((plan / sizes).mean()), float(m) / MILLI, float(p) / MILLI)
                for plan, m, p in zip(plans, measured, cost.many(plans), strict=True)
            ),
        )


def measure_latency(
    model: nn.Module, structure: Structure, task: Task, batch: Batch, choices: Sequence[Counts]
) -> LatencyModel:
    """Measure what the latency of every plan follows from; see :class:`Survey`."""
    return Survey(model, structure, task, batch, choices).take()


def _fit(predicted: Floats, measured: Floats) -> tuple[float, float]:
    """Fit measured = factor * predicted + constant by least squares of the relative errors.

    The constant is what Python and memory take besides: not below 0, and at most ``OVERHEAD`` of
    the fastest network, so that one noisy time cannot turn the whole sum into a constant.
    """
    most = OVERHEAD * float(measured.min())
    system = np.stack([predicted, np.ones_like(predicted)], axis=1) / measured[:, None]
    constant = float(np.linalg.lstsq(system, np.ones_like(measured), rcond=None)[0][1])
    constant = min(max(constant, 0.0), most)
    slope, target = predicted / measured, 1 - constant / measured
    return float((slope * target).sum() / (slope**2).sum()), constant


def _between(choices: Sequence[Counts], place: float) -> Counts:
    return np.array([options[round(place * (len(options) - 1))] for options in choices], np.int64)


def first_units(structure: Structure, counts: Counts) -> dict[str, torch.Tensor]:
    """Return the units that stay if each group keeps its first ones."""
    return {
        group.name: torch.arange(count)
        for group, count in zip(structure.groups, counts.tolist(), strict=True)
    }
