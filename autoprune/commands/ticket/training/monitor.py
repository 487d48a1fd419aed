"""Monitor of a training under way: validations, and copies of the weights that will be tested."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from autoprune.commands.ticket.jobs import Tick
from autoprune.data import Samples
from autoprune.data.task import Task
from autoprune.networks.execution import Precision
from autoprune.networks.save import state_tensors
from autoprune.networks.score import measure
from autoprune.training.checkpoint import Checkpoint, State, below, under

Observer = Callable[[int, nn.Module], None]
"""Called after every iteration with the number of iterations done and the network."""


@dataclass
class Monitor:
    """Validates every ``every`` iterations and keeps the weights that will be tested.

    ``wanted`` are the iterations whose weights are kept, ``done`` the last one seen; ``precision``
    is the arithmetic of the validations; ``also`` is another observer.
    """

    model: nn.Module
    validation: Samples
    task: Task
    every: int
    wanted: frozenset[int]
    tick: Tick
    precision: Precision = "auto"
    also: Observer | None = None
    done: int = 0
    curve: list[tuple[float, ...]] = field(default_factory=list)
    kept: dict[int, dict[str, Tensor]] = field(default_factory=dict)
    best: tuple[float, int] = (float("inf"), 0)
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    _ticked: int = 0

    def __call__(self, step: int, total: int, loss: float) -> None:
        """Validate if it is time; the interface of ``fit``'s ``on_step``."""
        if step != self.done + 1:  # a checkpoint that did not fit was put aside
            self.curve, self.kept, self.best = [], {}, (float("inf"), 0)
        self.done = step
        if step in self.wanted:
            self.kept[step] = copied(self.model)
        if self.also:
            self.also(step, self.model)
        if step % self.every and step != total:
            return
        score = measure(self.model, self.validation, self.task, precision=self.precision)
        self.curve.append((step, score.loss, score.score))
        if score.loss < self.best[0]:
            self.best, self.best_weights = (score.loss, step), copied(self.model)
        self.tick(step - max(self._ticked, step - self.every))
        self._ticked = step

    def state(self) -> State:
        """Return the state as tensors."""
        state = {
            "done": torch.tensor(self.done),
            "curve": torch.tensor(self.curve, dtype=torch.float64),
            "best": torch.tensor(self.best, dtype=torch.float64),
        }
        state |= under("weights", self.best_weights)
        for step, weights in self.kept.items():
            state |= under(f"kept.{step}", weights)
        return under("watch", state)

    def restore(self, state: State) -> None:
        """Restore the state that :meth:`state` returned."""
        values = below("watch", state)
        self.done = int(values["done"])
        self.curve = [(int(row[0]), *row[1:]) for row in values["curve"].tolist()]
        loss, step = values["best"].tolist()
        self.best, self.best_weights = (loss, int(step)), below("weights", values)
        self.kept = {}
        for name, value in below("kept", values).items():
            at, _, parameter = name.partition(".")
            self.kept.setdefault(int(at), {})[parameter] = value


class MonitoredCheckpoint:
    """Checkpoint that also holds the state of the monitor."""

    def __init__(self, inner: Checkpoint, monitor: Monitor) -> None:
        self._inner, self._monitor = inner, monitor

    @property
    def due(self) -> bool:
        """Whether it is time to save."""
        return self._inner.due

    def load(self) -> State | None:
        """Return what was saved last, and restore the monitor."""
        state = self._inner.load()
        if state is None or "watch.done" not in state:
            return None
        self._monitor.restore(state)
        return state

    def save(self, state: State) -> None:
        """Save the state of the training and of the monitor."""
        self._inner.save({**state, **self._monitor.state()})


def copied(model: nn.Module) -> dict[str, Tensor]:
    """Copy all parameters and buffers."""
    return {name: value.clone() for name, value in state_tensors(model).items()}
