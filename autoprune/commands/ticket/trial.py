"""One training of one network, watched on the validation split; test is read when it is over."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor, nn

from autoprune.commands.ticket.jobs import Job, Record, Tick
from autoprune.commands.ticket.monitor import Look, Watch, Watched, copied
from autoprune.data import Split
from autoprune.data.task import Task
from autoprune.foundation.schema import decode_fields, encode_fields
from autoprune.networks.score import measure
from autoprune.training.checkpoint import Checkpoint
from autoprune.training.loop import FitConfig, fit

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

    def record(self, job: Job, remaining: float) -> dict[str, Any]:
        """Return what the journal holds of the training of a job."""
        return {
            "mask": job.mask,
            "seed": job.seed,
            "kind": job.kind,
            "remaining": remaining,
            "trial": self.to_json(),
        }


def trial_of(record: Record) -> Trial:
    """Read the training that a record of the journal holds."""
    return Trial.from_json(record["trial"])


class Splits(NamedTuple):
    """What a network is trained on, watched on, and tested on at the end."""

    train: Split
    validation: Split
    test: Split


class Training(NamedTuple):
    """What a training came to, and the weights after the iterations that were asked for."""

    trial: Trial
    kept: dict[int, dict[str, Tensor]]


def train(
    model: nn.Module,
    splits: Splits,
    task: Task,
    config: FitConfig,
    tick: Tick,
    *,
    masks: Mapping[str, Tensor] | None = None,
    keep: Collection[int] = (),
    also: Look | None = None,
    checkpoint: Checkpoint | None = None,
) -> Training:
    """Train ``model`` in place, with an eye on it.

    Always trains to the end (as Frankle and Carbin 2019 do); early stopping is read off afterward.
    """
    total = config.length(len(splits.train))
    at = [step for step in AT if config.first < step <= total]
    every = min(MARKS, max(1, total // 10))
    wanted = frozenset([*at, *keep])
    watch = Watch(
        model,
        splits.validation,
        task,
        every,
        wanted,
        tick,
        config.precision,
        also,
        done=config.first,
    )
    saved = Watched(checkpoint, watch) if checkpoint else None
    fit(model, splits.train, task, config, masks=masks, on_step=watch, checkpoint=saved)
    final, best = copied(model), watch.best[1]

    def test(weights: dict[str, Tensor]) -> float:
        model.load_state_dict(weights, strict=False)
        return measure(model, splits.test, task).score

    tested = {best: watch.best_weights} | {step: watch.kept[step] for step in at}
    tested.pop(total, None)
    found = {step: test(weights) for step, weights in tested.items()}
    found[total] = test(final)  # last, so that these weights stay
    marks = {str(step): found[step] for step in at}
    trial = Trial(found[total], best, found[best], marks, tuple(watch.curve))
    return Training(trial, {step: watch.kept[step] for step in keep if step in watch.kept})
