"""Speed of the delivered network beside the dense one, on every backend that is installed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from torch import nn

from autoprune.cost.latency.backends import find_backend, runs_here
from autoprune.cost.latency.clock import Spread, TimingConfig, relative
from autoprune.cost.latency.deployed import samples_in
from autoprune.data.task import Batch, Task
from autoprune.errors import AutopruneError
from autoprune.networks.execution import device_of

TURNS: Final = TimingConfig(fewest=5, most=60, seconds=3.0)
"""Timing of two networks that take turns."""

ALIGNED: Final = 8
"""Multiples that widths should be of on any hardware."""

ALWAYS: Final = ("torch", "onnxruntime")
"""Backends that are timed wherever they are installed."""


@dataclass(frozen=True)
class Speed:
    """Time of the dense and the pruned network, medians in milliseconds per sample.

    ``fraction``: the pruned one's as a part of the dense one's, from turns in one run; its median
    lies between ``low`` and ``high``. ``batch``: samples per forward pass.
    """

    backend: str
    batch: int
    dense_ms: float
    pruned_ms: float
    fraction: float
    low: float
    high: float


def compared(
    dense: nn.Module,
    pruned: nn.Module,
    task: Task,
    batches: Sequence[Batch],
    backend: str = "torch",
    note: Callable[[str], object] = lambda text: None,
) -> tuple[Speed, ...]:
    """Time both networks on ``backend`` and all that is installed, on every batch.

    A backend that cannot run them is left out, and ``note`` hears why.
    """
    names = dict.fromkeys(
        (backend, *(name for name in ALWAYS if runs_here(name, device_of(dense))))
    )
    return tuple(
        speed
        for name in names
        for batch in batches
        for speed in _measured(name, dense, pruned, task, batch, note)
    )


def _measured(
    name: str,
    dense: nn.Module,
    pruned: nn.Module,
    task: Task,
    batch: Batch,
    note: Callable[[str], object],
) -> Iterator[Speed]:
    size = samples_in(batch)
    try:
        backend = find_backend(name, dense, task, batch, TURNS)
        first, second = backend.rounds([dense, pruned])
    except AutopruneError as error:
        note(f"{name} is not timed on {size} samples: {error.args[0]}")
        return
    scale, found = 1000 / size, relative(second, first)
    before, after = (scale * Spread.of(times).median for times in (first, second))
    yield Speed(backend.name, size, before, after, found.median, found.low, found.high)


def slower(speeds: Sequence[Speed], macs: float | None, *, aligned: bool) -> list[str]:
    """Return a warning if fewer MACs, the part ``macs`` of dense, take surely longer somewhere.

    ``macs`` is None where they are not known to be fewer; half is then what is advised.
    ``aligned``: whether all widths are multiples of ``ALIGNED``, or whole.
    """
    slow = [speed for speed in speeds if speed.low > 1 and (macs is None or macs < 1)]
    if not slow:
        return []
    where = ", ".join(f"{one.backend} at batch {one.batch} ({one.fraction:.2f})" for one in slow)
    kind = re.split("[ @]", slow[0].backend)[0]
    advice = f"--align {ALIGNED} keeps widths that hardware likes"
    if aligned:
        share = max(0.05, round(macs or 0.5, 2))
        advice = f"--budget {share:g}latency --backend {kind} budgets the time itself"
    what = "" if macs is None else f" with {macs:.2f} of its MACs"
    return [f"slower than dense{what}: {where}; {advice}"]
