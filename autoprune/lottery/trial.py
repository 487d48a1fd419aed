"""One training of one network, watched on the validation split; test is read when it is over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from torch import Tensor, nn

from autoprune.data import Split
from autoprune.recover import FitConfig, fit, measure
from autoprune.saving import tensors_of
from autoprune.schema import decode_fields, encode_fields
from autoprune.task import Task

AT = (100, 300, 1000, 3000)
"""Iterations after which the accuracy of a training is reported, as far as it lasts."""

MARKS = 100
"""Iterations between two looks at the validation split; fewer in trainings shorter than 1,000."""


@dataclass(frozen=True)
class Trial:
    """What one training came to.

    ``accuracy`` is the test accuracy at the end; ``early_stop`` the iteration of the least
    validation loss and ``accuracy_early_stop`` the test accuracy then; ``accuracy_at`` the test
    accuracy by iteration; ``curve`` holds (iteration, validation loss, validation accuracy).
    """

    accuracy: float
    early_stop: int
    accuracy_early_stop: float
    accuracy_at: Mapping[str, float]
    curve: tuple[tuple[float, ...], ...]

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able object."""
        return encode_fields(self)

    @classmethod
    def from_json(cls, data: object) -> Trial:
        """Read what ``to_json`` wrote; raise DamagedError if it is anything else."""
        return cls(**decode_fields(cls, data, "a trial"))


class Splits(NamedTuple):
    """What a network is trained on, watched on, and tested on at the end."""

    train: Split
    validation: Split
    test: Split


@dataclass
class Watch:
    """Looks at the validation split now and then, and keeps the weights that will be tested.

    ``wanted`` are the iterations whose weights are kept.
    """

    model: nn.Module
    validation: Split
    task: Task
    every: int
    wanted: frozenset[int]
    curve: list[tuple[float, ...]] = field(default_factory=list)
    kept: dict[int, dict[str, Tensor]] = field(default_factory=dict)
    best: tuple[float, int] = (float("inf"), 0)
    best_weights: dict[str, Tensor] = field(default_factory=dict)

    def __call__(self, step: int, total: int, loss: float) -> None:
        """Take a look if it is time; the interface of ``fit``'s ``on_step``."""
        if step in self.wanted:
            self.kept[step] = _copy(self.model)
        if step % self.every and step != total:
            return
        score = measure(self.model, self.validation, self.task)
        self.curve.append((step, score.loss, score.score))
        if score.loss < self.best[0]:
            self.best, self.best_weights = (score.loss, step), _copy(self.model)


def train(
    model: nn.Module,
    splits: Splits,
    task: Task,
    config: FitConfig,
    masks: Mapping[str, Tensor] | None = None,
    keep: int = 0,
) -> tuple[Trial, dict[str, Tensor]]:
    """Train ``model`` in place; return what it came to and the weights after ``keep`` iterations.

    Always trains to the end (as Frankle and Carbin 2019 do); early stopping is read off afterwards.
    """
    total = config.length(len(splits.train))
    at = [step for step in AT if config.first < step <= total]
    watch = Watch(
        model, splits.validation, task, min(MARKS, max(1, total // 10)), frozenset([*at, keep])
    )
    fit(model, splits.train, task, config, masks=masks, on_step=watch)
    final = _copy(model)

    def test(weights: dict[str, Tensor]) -> float:
        model.load_state_dict(weights, strict=False)
        return measure(model, splits.test, task).score

    try:
        early = test(watch.best_weights)
        marks = {str(step): test(watch.kept[step]) for step in at}
    finally:
        accuracy = test(final)
    trial = Trial(accuracy, watch.best[1], early, marks, tuple(watch.curve))
    return trial, watch.kept.get(keep, {})


def _copy(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in tensors_of(model).items()}
