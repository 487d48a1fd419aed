"""What is seen of a training while it goes on: looks at the validation split, weights to test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from autoprune.commands.ticket.jobs import Tick
from autoprune.data import Split
from autoprune.data.task import Task
from autoprune.networks.execution import Precision
from autoprune.networks.save import state_tensors
from autoprune.networks.score import measure
from autoprune.training.checkpoint import Checkpoint, State, below, under

Look = Callable[[int, nn.Module], None]
"""OnAdvance after every iteration how many are done, and shown the network."""


@dataclass
class Watch:
    """Looks at the validation split now and then, and keeps the weights that will be tested.

    ``wanted`` are the iterations whose weights are kept, ``done`` the last one seen; ``precision``
    is the arithmetic of the looks.
    """

    model: nn.Module
    validation: Split
    task: Task
    every: int
    wanted: frozenset[int]
    tick: Tick
    precision: Precision = "auto"
    also: Look | None = None
    done: int = 0
    curve: list[tuple[float, ...]] = field(default_factory=list)
    kept: dict[int, dict[str, Tensor]] = field(default_factory=dict)
    best: tuple[float, int] = (float("inf"), 0)
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    _ticked: int = 0

    def __call__(self, step: int, total: int, loss: float) -> None:
        """Take a look if it is time; the interface of ``fit``'s ``on_step``."""
        if step != self.done + 1:  # a checkpoint that did not fit was left aside
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
        """Return all of it as tensors."""
        found = {
            "done": torch.tensor(self.done),
            "curve": torch.tensor(self.curve, dtype=torch.float64),
            "best": torch.tensor(self.best, dtype=torch.float64),
        }
        found |= under("weights", self.best_weights)
        for step, weights in self.kept.items():
            found |= under(f"kept.{step}", weights)
        return under("watch", found)

    def recall(self, state: State) -> None:
        """Go back to what was seen when ``state`` was returned."""
        found = below("watch", state)
        self.done = int(found["done"])
        self.curve = [(int(row[0]), *row[1:]) for row in found["curve"].tolist()]
        loss, step = found["best"].tolist()
        self.best, self.best_weights = (loss, int(step)), below("weights", found)
        self.kept = {}
        for name, value in below("kept", found).items():
            at, _, parameter = name.partition(".")
            self.kept.setdefault(int(at), {})[parameter] = value


class Watched:
    """A checkpoint that keeps what was seen in step with the weights."""

    def __init__(self, inner: Checkpoint, watch: Watch) -> None:
        self._inner, self._watch = inner, watch

    @property
    def due(self) -> bool:
        """Whether it is time to save."""
        return self._inner.due

    def load(self) -> State | None:
        """Return what was saved last, and recall what was seen until then."""
        state = self._inner.load()
        if state is None or "watch.done" not in state:
            return None
        self._watch.recall(state)
        return state

    def save(self, state: State) -> None:
        """Keep both."""
        self._inner.save({**state, **self._watch.state()})


def copied(model: nn.Module) -> dict[str, Tensor]:
    """Copy all parameters and buffers."""
    return {name: value.clone() for name, value in state_tensors(model).items()}
