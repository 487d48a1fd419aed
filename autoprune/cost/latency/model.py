"""The latency of every plan of a network on this device, from measured operations.

Each operation is timed by itself at aligned widths, on random inputs of the sizes and layout that
it has in the network. The sum misses the time between operations, and that each finds its input in
the cache. Therefore a few compact networks are timed from end to end, and sums are corrected to
agree with them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Self

import numpy as np
import torch
from torch import nn

from autoprune.cost.latency.backends import find_backend, latencies
from autoprune.cost.latency.cache import Times, machine
from autoprune.cost.latency.clock import TURNS, TimingConfig, shortest
from autoprune.cost.latency.deployed import few, samples_in
from autoprune.cost.latency.sizes import Grid, SizedCall, grid, sized_calls
from autoprune.cost.latency.table import Table, TableCost, monotone
from autoprune.cost.polynomial import Counts
from autoprune.data.task import Batch, Task
from autoprune.errors import DamagedError
from autoprune.foundation.schema import decode_fields, encode_fields
from autoprune.networks.execution import device_of
from autoprune.networks.folding import find_foldable
from autoprune.structure.slicing import Slicer
from autoprune.structure.table import BRANCH, Structure

CALIBRATION: Final = (1.0, 0.8, 0.6, 0.4, 0.2, 0.0)
"""Places between all and the least units at which whole networks are timed."""

GOLDEN: Final = 0.618
"""Multiples of it, without their whole part, are spread evenly however many they are."""

NANO, MILLI = 1e9, 1e6
"""Nanoseconds in a second and in a millisecond."""

FORMAT: Final = 1


@dataclass(frozen=True)
class Whole:
    """A network timed from end to end, ``keep`` its mean fraction of units; ms per sample.

    ``operations_ms`` is what its operations take by themselves.
    """

    keep: float
    measured_ms: float
    operations_ms: float


@dataclass(frozen=True)
class LatencyModel:
    """Nanoseconds per sample of every plan, and how they were measured.

    ``batch``: samples per forward pass. ``fit``: the whole networks that the sums of operations
    were corrected by. ``corrected``: mean change of the tables' entries by which the tables became
    non-decreasing, as a part of their sum.
    """

    cost: TableCost
    device: str
    backend: str
    batch: int
    operations: int
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
    """Measurements of one network; ``missing`` are the operations not yet timed on this machine.

    ``batch`` is the input of one forward pass. ``choices`` are the counts that each group may keep,
    ascending. The weights of the model do not matter, and it is not changed.
    """

    def __init__(
        self,
        model: nn.Module,
        structure: Structure,
        task: Task,
        batch: Batch,
        choices: Sequence[Counts],
        backend: str = "torch",
        turns: TimingConfig = TURNS,
    ) -> None:
        """Find the operations; ``turns`` says how long whole networks are timed.

        Raises UsageError if operations are indistinguishable, or the backend does not run here.
        """
        self._model, self._structure, self._choices = model, structure, choices
        self._task, self._batch, self._device = task, batch, device_of(model)
        self._backend = find_backend(backend, model, task, batch, turns)
        form, pairs = self._backend.form, find_foldable(model, task, few(batch))
        calls = sized_calls(model, structure, task, batch, form, pairs, choices)
        self._grids = [(call, grid(call, choices)) for call in calls]
        self._times = Times(machine(self._device, self._backend.name))
        self.missing: dict[str, tuple[SizedCall, tuple[int, ...]]] = {}
        for call, grid_ in self._grids:
            for _, counts in grid_.points():
                sizes = call.at(counts)
                key = call.call.key(sizes)
                if self._times.get(key) is None:
                    self.missing[key] = (call, sizes)

    @property
    def notes(self) -> list[str]:
        """What was wrong with the cached times."""
        return self._times.notes

    def take(self, on_each: Callable[[], object] = lambda: None) -> LatencyModel:
        """Measure what is missing and whole networks; call ``on_each`` after each operation."""
        try:
            for key, (call, sizes) in self.missing.items():
                with torch.inference_mode():
                    work = self._backend.operation(call.call, sizes)
                    spent = shortest(work, self._device) if work else 0.0
                self._times.add(key, NANO * spent)
                on_each()
        finally:
            self._times.save()
        samples = samples_in(self._batch)
        raw = [self._table(call, grid_, samples) for call, grid_ in self._grids]
        tables = [replace(table, values=monotone(table.values)) for table in raw]
        moved = sum(np.abs(a.values - b.values).mean() for a, b in zip(raw, tables, strict=True))
        return self._calibrated(tables, float(moved / sum(table.values.mean() for table in raw)))

    def time(self, networks: Sequence[nn.Module]) -> list[float]:
        """Return the seconds that whole networks take for the batch, taking turns."""
        return latencies(self._backend, networks)

    def _table(self, call: SizedCall, grid_: Grid, samples: int) -> Table:
        values = np.zeros(grid_.plans.shape[:2])
        for place, counts in grid_.points():
            values[place] = (self._times.get(call.call.key(call.at(counts))) or 0.0) / samples
        return Table(grid_.axes, values, call.within)

    def _calibrated(self, tables: Sequence[Table], corrected: float) -> LatencyModel:
        names = [group.name for group in self._structure.groups]
        sizes = np.array([options[-1] for options in self._choices], np.int64)
        plans = np.unique(
            [_between(self._structure, self._choices, place) for place in CALIBRATION], axis=0
        )
        samples, slicer = samples_in(self._batch), Slicer(self._model, self._structure)
        networks = [slicer.build(first_units(self._structure, plan)).eval() for plan in plans]
        measured = np.array(self.time(networks)) * NANO / samples
        plain = TableCost.of(names, sizes, tables)
        cost = plain.calibrated(plans, measured)
        return LatencyModel(
            cost=cost,
            device=str(self._device),
            backend=self._backend.name,
            batch=samples,
            operations=len(self._grids),
            corrected=corrected,
            fit=tuple(
                Whole(float((plan / sizes).mean()), float(total) / MILLI, float(parts) / MILLI)
                for plan, total, parts in zip(plans, measured, plain.many(plans), strict=True)
            ),
        )


def measure_latency(
    model: nn.Module,
    structure: Structure,
    task: Task,
    batch: Batch,
    choices: Sequence[Counts],
    backend: str = "torch",
    turns: TimingConfig = TURNS,
) -> LatencyModel:
    """Measure the operations from which the latency of every plan follows; see :class:`Survey`."""
    return Survey(model, structure, task, batch, choices, backend, turns).take()


def _between(structure: Structure, choices: Sequence[Counts], place: float) -> Counts:
    """Return a plan between all units and the least; of branches that part stays, well spread."""
    counts, branches = [], 0
    for group, options in zip(structure.groups, choices, strict=True):
        part = place
        if group.kind == BRANCH:
            branches += 1
            part = float(branches * GOLDEN % 1 < place)
        counts.append(options[round(part * (len(options) - 1))])
    return np.array(counts, np.int64)


def first_units(structure: Structure, counts: Counts) -> dict[str, torch.Tensor]:
    """Return the units that stay if each group keeps its first ones."""
    return {
        group.name: torch.arange(count)
        for group, count in zip(structure.groups, counts.tolist(), strict=True)
    }
